"""Long work that outlives the page that asked for it: a queue of jobs, watched by polling.

A request is its key, which holds the full input: who asks for the same again gets the job that is
there, so that two clicks, two browsers or a browser that was closed share one piece of work.

However many are asked for, one computation and one transfer run at a time: a computation has as
many threads as the machine has cores, so a second one would gain no time and hold memory. The first
job of everyone goes before the second of anyone.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Literal

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from circuit_sparsity.experiment.experiment import Cancelled
from circuit_sparsity.ui.shell.messages import plain

State = Literal["waiting", "running", "done", "failed", "stopped"]
Lane = Literal["computation", "transfer", "short"]  # short: seconds, which a page waits for
ReportProgress = Callable[[Any], object]
Key = tuple[Any, ...]  # its kind, then the full input; hashable
Work = Callable[[ReportProgress, threading.Event], Any]

AT_ONCE: Mapping[Lane, int] = {"computation": 1, "transfer": 1, "short": 2}
_POLL = 0.5  # seconds
_KEPT = 64  # finished jobs


class Job:
    """One piece of work. Made by `Jobs.start`; safe to look at from any thread."""

    def __init__(self, key: Key, title: str, work: Work, lane: Lane, owner: str) -> None:
        self.key, self.title, self.owner = key, title, owner
        self.lane: Lane = lane
        self._work = work
        self._lock = threading.Lock()  # of the two times and of withdrawing
        self.began: float | None = None  # by the monotonic clock
        self._ended: float | None = None
        self.progress: Any = None  # what the work reported last
        self._cancel = threading.Event()
        self._outcome: Future[Any] = Future()

    @property
    def state(self) -> State:
        if not self._outcome.done():
            return "waiting" if self.began is None else "running"
        if self._outcome.exception() is None:
            return "done"
        return "stopped" if self._cancel.is_set() else "failed"

    @property
    def active(self) -> bool:
        """Whether it waits or runs."""
        return not self._outcome.done()

    @property
    def error(self) -> BaseException | None:
        """Why it failed, or None."""
        return self._outcome.exception() if self._outcome.done() else None

    @property
    def seconds(self) -> float:
        """How long it has run."""
        return 0.0 if self.began is None else (self._ended or time.monotonic()) - self.began

    @property
    def stopping(self) -> bool:
        """Whether it was told to stop and has not ended yet."""
        return self.active and self._cancel.is_set()

    def result(self) -> Any:
        """What the work returned; raises what it raised. Waits for a job that has not ended."""
        return self._outcome.result()

    def stop(self) -> None:
        """Ask the work to end; it does so at its next look at `cancel`, one that waits at once."""
        with self._lock:
            self._cancel.set()
            withdrawn = self.began is None and self._ended is None
            if withdrawn:
                self._ended = time.monotonic()
        if withdrawn:
            self._outcome.set_exception(Cancelled("stopped before it began"))

    def when_ended(self, then: Callable[[], object]) -> None:
        """Call `then` when the job ends, however it does; at once if it has."""
        self._outcome.add_done_callback(lambda _: then())

    def begin(self) -> bool:
        """Leave the queue; False for a job that was withdrawn meanwhile."""
        with self._lock:
            if self._ended is not None:
                return False
            self.began = time.monotonic()
            return True

    def carry_out(self) -> None:
        """Do the work in this thread."""
        try:
            value = self._work(self._report, self._cancel)
        except BaseException as error:  # not handled here: `result` raises it where it is asked for
            self._ended = time.monotonic()
            self._outcome.set_exception(error)
        else:
            self._ended = time.monotonic()
            self._outcome.set_result(value)
        finally:
            del self._work  # with all that it was made from

    def _report(self, progress: Any) -> None:
        self.progress = progress


class Jobs:
    """Every job of this process, for all browsers.

    >>> jobs = Jobs()
    >>> def work(report, cancel):
    ...     report("half")
    ...     return 42
    >>> job = jobs.start(("answer", 6, 7), "Multiply", work)
    >>> job.result(), job.state, job.progress
    (42, 'done', 'half')
    >>> jobs.start(("answer", 6, 7), "Multiply", work) is job
    True
    """

    def __init__(self, at_once: Mapping[Lane, int] = AT_ONCE) -> None:
        self._at_once = at_once
        self._lock = threading.Lock()
        self._jobs: dict[Key, Job] = {}

    def start(
        self,
        key: Key,
        title: str,
        work: Work,
        again: bool = False,
        lane: Lane = "computation",
        owner: str | None = None,
    ) -> Job:
        """The job of that key: one that waits, runs or is done, else a new one in the queue.

        ``again`` does work anew that is done. What failed or was stopped is always done anew.
        ``owner`` is who asks, without one the browser session.
        """
        owner = _session() if owner is None else owner
        with self._lock:
            known = self._jobs.get(key)
            if known and (known.active or (known.state == "done" and not again)):
                return known
            self._jobs.pop(key, None)  # a new job goes to the end of the list
            job = self._jobs[key] = Job(key, title, work, lane, owner)
            self._forget_oldest()
            self._begin_next(lane)
        return job

    def find(self, key: Key) -> Job | None:
        """The job of that key, whatever its state."""
        with self._lock:
            return self._jobs.get(key)

    def all(self, kinds: Sequence[str]) -> tuple[Job, ...]:
        """Jobs of these kinds, the oldest first."""
        with self._lock:
            known = tuple(self._jobs.values())
        return tuple(job for job in known if job.key[0] in kinds)

    def forget(self, key: Key) -> None:
        """Drop a job that has ended, with its result; one that waits or runs stays."""
        with self._lock:
            known = self._jobs.get(key)
            if known and not known.active:
                del self._jobs[key]

    def place(self, job: Job) -> tuple[int, int] | None:
        """Which of how many that wait in its lane; None for a job that does not wait."""
        with self._lock:
            line = self._line(job.lane)
        return (line.index(job) + 1, len(line)) if job in line else None

    def _line(self, lane: Lane) -> list[Job]:
        """Those that wait, in the order in which they will begin: visitors take turns."""
        here = [job for job in self._jobs.values() if job.lane == lane]
        before = Counter(job.owner for job in here if job.state == "running")
        served: dict[str, float] = {}
        for job in here:
            served[job.owner] = max(served.get(job.owner, 0.0), job.began or 0.0)
        turns: list[tuple[int, float, int, Job]] = []
        for arrival, job in enumerate(here):
            if job.state == "waiting":
                turns.append((before[job.owner], served[job.owner], arrival, job))
                before[job.owner] += 1
        return [job for *_, job in sorted(turns, key=lambda turn: turn[:3])]

    def _begin_next(self, lane: Lane) -> None:
        """Begin as many as may run; the lock is held."""
        running = [j for j in self._jobs.values() if j.lane == lane and j.state == "running"]
        free = self._at_once[lane] - len(running)
        for job in self._line(lane):
            if free > 0 and job.begin():
                free -= 1
                # A daemon: Ctrl+C ends the server at once, and what works here must survive that.
                threading.Thread(
                    target=self._carry_out, args=(job,), name=job.title, daemon=True
                ).start()

    def _carry_out(self, job: Job) -> None:
        job.carry_out()
        with self._lock:
            self._begin_next(job.lane)

    def _forget_oldest(self) -> None:
        ended = [key for key, job in self._jobs.items() if not job.active]
        for key in ended[: max(0, len(ended) - _KEPT)]:
            del self._jobs[key]


@st.cache_resource(show_spinner=False)
def jobs() -> Jobs:
    """The one manager of this process."""
    return Jobs()


def _session() -> str:
    """The browser session that runs, by its name; empty outside one."""
    context = get_script_run_ctx(suppress_warning=True)
    return "" if context is None else context.session_id


def begin(start: Callable[..., Job], *arguments: Any) -> None:
    """`start(*arguments)` as a button's callback, which returns nothing.

    For a button whose label says all that it does. What depends on fields uses `press.pressed`.
    """
    start(*arguments)


def watch(active: Sequence[Job], draw: Callable[[Job], object]) -> None:
    """Draw jobs twice a second: their place while they wait, by `draw` while they run.

    When one of them ends, the whole page runs again.
    """
    if active:
        _poll(tuple(active), draw)


@st.fragment(run_every=_POLL)
def _poll(active: tuple[Job, ...], draw: Callable[[Job], object]) -> None:
    if not all(job.active for job in active):
        st.rerun()
    for job in active:
        place = jobs().place(job)
        if place is None:
            draw(job)
        else:
            _waiting(job, *place)


def _waiting(job: Job, place: int, of: int) -> None:
    """That a job waits for others, its place, and a button that takes it out of the queue."""
    with st.container(border=True):
        words, button = st.columns([0.78, 0.22], vertical_alignment="center")
        words.markdown(f"**{plain(job.title)}** — waiting, {place} of {of} in the queue")
        button.button(
            "Cancel",
            key=f"leave {hash(job.key)}",
            icon=":material/stop_circle:",
            on_click=job.stop,
            width="stretch",
        )
