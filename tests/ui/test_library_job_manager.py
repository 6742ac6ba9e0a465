"""The manager of long work: one job a request, whoever asks, and nothing lost."""

import contextlib
import threading

import pytest

from circuit_sparsity.experiment.experiment import Cancelled
from circuit_sparsity.ui.shell.jobs import Jobs

WAIT = 20.0  # seconds


@pytest.fixture
def manager():
    return Jobs()


@pytest.fixture
def gate():
    """Work that runs until the gate is opened, or until it is cancelled."""
    opened = threading.Event()

    def work(report, cancel):
        report("waiting")
        while not opened.wait(0.01):
            if cancel.is_set():
                raise ValueError("stopped on request")
        return "done"

    work.open = opened.set
    yield work
    opened.set()


def ended(job):
    with contextlib.suppress(ValueError):
        job.result()
    return job


def test_the_same_request_twice_is_one_job(manager, gate):
    calls = []

    def work(report, cancel):
        calls.append(1)
        return gate(report, cancel)

    jobs = [manager.start(("fetch", "a"), "A", work) for _ in range(5)]
    gate.open()
    assert len({id(job) for job in jobs}) == 1
    assert jobs[0].result() == "done"
    assert calls == [1]


def test_requests_from_many_threads_at_once_are_one_job(manager, gate):
    found, barrier = [], threading.Barrier(8)

    def ask():
        barrier.wait()
        found.append(manager.start(("fetch", "a"), "A", gate))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    gate.open()
    assert len(found) == 8
    assert len(set(map(id, found))) == 1


def test_other_input_is_another_job(manager, gate):
    one, other = (manager.start(("fetch", name), name, gate) for name in "ab")
    gate.open()
    assert one is not other


def test_a_result_is_kept_for_who_comes_later(manager):
    first = manager.start(("prune", 1), "Prune", lambda report, cancel: object())
    result = first.result()
    assert manager.find(("prune", 1)).result() is result
    again = manager.start(("prune", 1), "Prune", lambda report, cancel: object())
    assert again.result() is result


def test_done_work_is_done_anew_only_when_asked(manager):
    first = manager.start(("fetch", 1), "F", lambda report, cancel: 1)
    assert first.result() == 1
    assert manager.start(("fetch", 1), "F", lambda report, cancel: 2, again=True).result() == 2


def test_what_failed_is_tried_anew(manager):
    def fail(report, cancel):
        raise ValueError("no network")

    failed = ended(manager.start(("fetch", 1), "F", fail))
    assert failed.state == "failed"
    assert str(failed.error) == "no network"
    assert manager.start(("fetch", 1), "F", lambda report, cancel: "here").result() == "here"


def test_an_error_nobody_foresaw_is_raised_where_the_result_is_asked_for(manager):
    job = manager.start(("fetch", 1), "F", lambda report, cancel: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        job.result()
    assert job.state == "failed"


def test_a_job_that_is_told_to_stop_is_stopped_and_not_failed(manager, gate):
    job = manager.start(("fetch", 1), "F", gate)
    job.stop()
    assert ended(job).state == "stopped"
    assert job.progress == "waiting"


def test_one_that_finishes_in_spite_of_a_late_stop_is_done(manager, gate):
    gate.open()
    job = ended(manager.start(("fetch", 1), "F", gate))
    job.stop()
    assert job.state == "done"


def test_a_running_job_cannot_be_forgotten(manager, gate):
    job = manager.start(("fetch", 1), "F", gate)
    manager.forget(job.key)
    assert manager.find(job.key) is job
    gate.open()
    job.result()
    manager.forget(job.key)
    assert manager.find(job.key) is None


def test_only_the_latest_64_results_are_kept_and_no_running_job_is_lost(manager, gate):
    running = manager.start(("fetch", "long"), "long", gate, lane="transfer")
    for number in range(100):
        manager.start(("fetch", number), "short", lambda report, cancel: None).result()
    assert manager.find(("fetch", "long")) is running
    assert manager.find(("fetch", 99)) is not None
    assert manager.find(("fetch", 0)) is None
    assert len(manager.all(["fetch"])) <= 66


def test_jobs_are_listed_by_kind_in_the_order_of_their_start(manager):
    for key in (("fetch", 1), ("prune", 1), ("verify", 1), ("fetch", 2)):
        manager.start(key, str(key), lambda report, cancel: None).result()
    keys = [job.key for job in manager.all(["fetch", "verify"])]
    assert keys == [("fetch", 1), ("verify", 1), ("fetch", 2)]


def test_the_time_of_a_job_stands_still_when_it_has_ended(manager):
    job = ended(manager.start(("fetch", 1), "F", lambda report, cancel: None))
    seconds = job.seconds
    assert job.seconds == seconds >= 0


class Crowd:
    """Work that counts how many of it run at once, until it is let go."""

    def __init__(self):
        self.let_go, self._lock = threading.Event(), threading.Lock()
        self.now, self.most, self.order = 0, 0, []

    def work(self, name):
        def run(report, cancel):
            with self._lock:
                self.now += 1
                self.most = max(self.most, self.now)
                self.order.append(name)
            try:
                assert self.let_go.wait(WAIT)
            finally:
                with self._lock:
                    self.now -= 1

        return run


@pytest.fixture
def crowd():
    found = Crowd()
    yield found
    found.let_go.set()


def test_of_50_prunings_and_50_downloads_one_of_each_runs_and_all_are_done(manager, crowd):
    asked = [
        manager.start((kind, i), kind, crowd.work((kind, i)), lane=lane, owner=str(i))
        for i in range(50)
        for kind, lane in (("prune", "computation"), ("fetch", "transfer"))
    ]
    assert [job.state for job in asked].count("waiting") == 98
    crowd.let_go.set()
    for job in asked:
        job.result()
    assert crowd.most <= 2
    assert {job.state for job in asked} == {"done"}


def test_who_asks_for_many_waits_behind_everyone_elses_first(manager, crowd):
    greedy = [manager.start(("prune", i), "p", crowd.work(("a", i)), owner="a") for i in range(4)]
    other = manager.start(("prune", "b"), "p", crowd.work("b"), owner="b")
    assert manager.place(greedy[0]) is None
    assert manager.place(other) == (1, 4)
    assert [manager.place(job) for job in greedy[1:]] == [(2, 4), (3, 4), (4, 4)]
    crowd.let_go.set()
    for job in (*greedy, other):
        job.result()
    assert crowd.order == [("a", 0), "b", ("a", 1), ("a", 2), ("a", 3)]


def test_one_that_waits_is_cancelled_at_once_and_never_begins(manager, crowd):
    first, second, third = (
        manager.start(("prune", i), "p", crowd.work(i), owner="a") for i in range(3)
    )
    ends = []
    second.when_ended(lambda: ends.append("second"))
    second.stop()
    assert (second.state, ends) == ("stopped", ["second"])
    assert isinstance(second.error, Cancelled)
    assert manager.place(third) == (1, 1)
    crowd.let_go.set()
    first.result()
    third.result()
    assert crowd.order == [0, 2]
    assert second.seconds == 0


def test_what_a_page_waits_for_does_not_wait_for_prunings_or_downloads(manager, crowd):
    for lane in ("computation", "transfer"):
        for i in range(3):
            manager.start((lane, i), lane, crowd.work(i), lane=lane)
    size = manager.start(("sizes", 1), "s", lambda report, cancel: 7, lane="short")
    assert size.result() == 7


def test_what_fails_lets_the_next_one_begin(manager):
    failed = manager.start(("prune", 1), "p", lambda report, cancel: 1 // 0)
    following = manager.start(("prune", 2), "p", lambda report, cancel: 2)
    assert following.result() == 2
    assert failed.state == "failed"
