"""A cell's search: what it tries, keeps, skips and writes. A formula stands for the pruning."""

import errno
import json
import math
import os
import threading
from collections import deque
from pathlib import Path

import pytest
from optuna.storages import RDBStorage
from sqlalchemy import event

from circuit_sparsity.pruning.request import PruneRequest
from circuit_sparsity.pruning.settings import FAST
from circuit_sparsity.pruning.sweep import search as searching
from circuit_sparsity.pruning.sweep import study as studying
from circuit_sparsity.pruning.sweep.cell import SEARCHED, Cell, Job, Tried
from circuit_sparsity.pruning.sweep.search import TRIALS, search
from circuit_sparsity.pruning.sweep.study import Study, open_study, tried_of
from circuit_sparsity.store import NoSpace, Store, paths
from circuit_sparsity.store.atomic import write_atomically

CELL = Cell(PruneRequest("model", "task", k=24, sweep="search"))


def formula(job: Job) -> Tried:
    """Lowest, 0.1 nats, at a temperature of 0.5."""
    loss = 0.1 + math.log(job.settings.temperature / 0.5) ** 2
    return Tried(24, loss, loss, reached=True)


class Here:
    """Carries out jobs at once, in this thread; counts them; Ctrl-C comes at the ``stop``-th."""

    size = 1

    def __init__(self, stop: int | None = None) -> None:
        self.jobs: list[Job] = []
        self._stop, self._ended = stop, deque()

    def submit(self, number: int, job: Job) -> None:
        self.jobs.append(job)
        self._ended.append((number, job))

    def next(self) -> tuple[int, Tried]:
        if len(self.jobs) == self._stop:
            raise KeyboardInterrupt
        number, job = self._ended.popleft()
        return number, formula(job)

    def close(self) -> None:
        pass

    @property
    def temperatures(self) -> list[float]:
        return [job.settings.temperature for job in self.jobs]


@pytest.fixture
def store(tmp_path, monkeypatch) -> Store:
    """An empty folder, and in place of the pruning a file with the temperature in it."""

    def write(request: PruneRequest, store: Store, search: object = ()) -> None:
        assert request.name is not None
        folder = store.viz_folder(request.model, request.task, request.sweep, request.name)
        text = f"{request.settings.temperature}".encode()
        write_atomically(folder / paths.VIZ, lambda file: file.write(text))

    monkeypatch.setattr(searching, "carry_out", write)
    return Store(tmp_path / "shipped", tmp_path / "own", "http://127.0.0.1:9/none")


def run(store: Store, trials: int, workers: Here, cell: Cell = CELL) -> searching.Searched:
    return search(cell, trials, workers, store, lambda text: None)


def test_a_search_that_was_stopped_makes_the_trials_it_would_have_made(store, tmp_path) -> None:
    whole, first, second = Here(), Here(stop=13), Here()
    other = Store(tmp_path / "shipped", tmp_path / "other", store.url)
    run(other, 15, whole)
    with pytest.raises(KeyboardInterrupt):
        run(store, 15, first)
    found = run(store, 15, second)
    assert found.trials == 15
    # The thirteenth was running when it was stopped, and is all that is done twice.
    assert first.temperatures[:12] + second.temperatures == whole.temperatures
    assert first.temperatures[12] == whole.temperatures[12]


def test_the_preset_is_tried_first_and_every_trial_is_within_a_decade_of_it(store) -> None:
    workers = Here()
    run(store, 14, workers)
    assert workers.jobs[0].settings == FAST
    for job in workers.jobs:
        for name in SEARCHED:
            ratio = getattr(job.settings, name) / getattr(FAST, name)
            assert 1 / 10.001 < ratio < 10.001
    assert len(set(workers.temperatures)) == 14


def test_the_best_is_written_with_every_trial_and_the_curve_beside_it(store) -> None:
    workers = Here()
    found = run(store, 20, workers)
    losses = [formula(job).loss for job in workers.jobs]
    told = json.loads((found.folder / TRIALS).read_text())
    assert [row["loss"] for row in told["table"]] == losses
    settings = [row["settings"] for row in told["table"]]
    assert settings == [job.settings.to_dict() for job in workers.jobs]
    assert told["best"] == losses.index(min(losses))
    # Eight runs to a point, as in the released files; the last point has the four left over.
    assert told["curve"] == [[0, min(losses[:8])], [1, min(losses[:16])], [2, min(losses)]]
    best = workers.temperatures[told["best"]]
    assert float((found.folder / paths.VIZ).read_text()) == best
    assert found.folder == store.folder / "viz/model/task/search/k24_seed0"


def test_what_is_done_is_skipped_and_more_trials_are_added_to_it(store) -> None:
    run(store, 5, Here())
    again, more = Here(), Here()
    assert run(store, 5, again).known
    assert again.jobs == []
    found = run(store, 8, more)
    assert (len(more.jobs), found.trials, found.known) == (3, 8, False)


def test_two_commands_that_ask_for_one_cell_search_it_once(store) -> None:
    workers, found = (Here(), Here()), []
    threads = [
        threading.Thread(target=lambda one=one: found.append(run(store, 6, one))) for one in workers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(len(one.jobs) for one in workers) == [0, 6]
    assert sorted(one.known for one in found) == [False, True]


def test_a_target_that_no_trial_reaches_is_told_and_writes_no_circuit(store, monkeypatch) -> None:
    cell = Cell(PruneRequest("model", "task", target=0.05, sweep="search"))

    class Missing(Here):
        def next(self) -> tuple[int, Tried]:
            number, job = self._ended.popleft()
            loss = formula(job).loss
            return number, Tried(3, loss, 16 * loss / 0.05, reached=False)

    found = run(store, 3, Missing(), cell)
    assert (found.state, found.nodes) == ("not reached", 3)
    assert "not reached; the lowest loss was" in found.line
    assert not (found.folder / paths.VIZ).exists()
    assert run(store, 3, Here(), cell).known


@pytest.mark.parametrize("file", [paths.VIZ, TRIALS])
def test_a_full_disk_leaves_nothing_half_written_and_no_trial_is_lost(
    store, monkeypatch, file
) -> None:
    replace = os.replace

    def full(source: Path, target: Path) -> None:
        if Path(target).name == file:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        with pytest.raises(NoSpace, match="became full while .* was written"):
            run(store, 4, Here())
    folder = store.folder / "viz/model/task/search/k24_seed0"
    assert not (folder / file).exists()
    assert not list(folder.glob("*.tmp")) + list(folder.glob(".*.tmp"))
    again = Here()
    assert run(store, 4, again).trials == 4
    assert again.jobs == []
    assert (folder / paths.VIZ).exists()


def test_a_disk_that_is_full_for_the_study_is_told_and_its_trials_stay(store, monkeypatch) -> None:
    run(store, 2, Here())
    storage = studying._storage

    def full(path: Path) -> RDBStorage:
        """SQLite itself says that the disk is full, when the file would grow."""
        opened = storage(path)
        opened.engine.dispose()
        no_more = "PRAGMA max_page_count = 1"
        event.listen(opened.engine, "connect", lambda file, _: file.execute(no_more).close())
        return opened

    workers = Here()
    with monkeypatch.context() as patched:
        patched.setattr(studying, "_storage", full)
        with pytest.raises(OSError, match="disk is full.* Make room on the disk"):
            run(store, 500, workers)
    with open_study(store.folder / "viz/model/task/search/k24_seed0", CELL) as study:
        kept = len(study.finished)
    assert kept >= 2
    again = Here()
    assert run(store, kept + 1, again).trials == kept + 1
    assert len(again.jobs) == 1


def test_a_damaged_study_is_told_with_what_to_do(store) -> None:
    folder = store.viz_folder("model", "task", "search", "k24_seed0")
    (folder / "study.db").write_bytes(b"no database, whatever its name says" * 100)
    with pytest.raises(OSError, match="study.db cannot be read or written .* delete it"):
        run(store, 4, Here())


def test_parallel_draws_differ_and_a_trial_that_was_cut_off_takes_no_place(tmp_path) -> None:
    with open_study(tmp_path, CELL) as study:
        numbers = [study.ask() for _ in range(4)]
        chosen = [study.chosen(number) for number in numbers]
        for number in (0, 3):
            study.tell(numbers[number], value(study, numbers[number]))
    with open_study(tmp_path, CELL) as study:
        assert len(study.finished) == 2
        again = [study.ask() for _ in range(2)]
        # The second and third were cut off; they are drawn again, as they were.
        assert [study.chosen(number) for number in again] == chosen[1:3]
        assert tried_of(study.best()).loss == min(
            formula(Job(CELL, CELL.settings(one))).loss for one in (chosen[0], chosen[3])
        )


def value(study: Study, number: int) -> Tried:
    return formula(Job(CELL, CELL.settings(study.chosen(number))))
