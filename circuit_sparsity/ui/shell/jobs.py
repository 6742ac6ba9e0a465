"""Long work that outlives the page that asked for it: one thread a request, watched by polling.

A request is its key, which holds the full input: who asks for the same again gets the job that is
there, so that two clicks, two browsers or a browser that was closed share one piece of work.
"""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Literal

import streamlit as st

State = Literal["running", "done", "failed", "stopped"]
ReportProgress = Callable[[Any], object]
Key = tuple[Any, ...]  # its kind, then the full input; hashable
Work = Callable[[ReportProgress, threading.Event], Any]

_POLL = 0.5  # seconds
_KEPT = 64  # finished jobs


class Job:
    """One piece of work. Made by `Jobs.start`; safe to look at from any thread."""

    def __init__(self, key: Key, title: str) -> None:
        self.key, self.title = key, title
        self._began = time.monotonic()
        self._ended: float | None = None
        self.progress: Any = None  # what the work reported last
        self._cancel = threading.Event()
        self._outcome: Future[Any] = Future()

    @property
    def state(self) -> State:
        if not self._outcome.done():
            return "running"
        if self._outcome.exception() is None:
            return "done"
        return "stopped" if self._cancel.is_set() else "failed"

    @property
    def running(self) -> bool:
        return self.state == "running"

    @property
    def error(self) -> BaseException | None:
        """Why it failed, or None."""
        return self._outcome.exception() if self._outcome.done() else None

    @property
    def seconds(self) -> float:
        """How long it has taken."""
        return (self._ended or time.monotonic()) - self._began

    @property
    def stopping(self) -> bool:
        """Whether it was told to stop and has not ended yet."""
        return self.running and self._cancel.is_set()

    def result(self) -> Any:
        """What the work returned; raises what it raised. Waits for a job that runs."""
        return self._outcome.result()

    def stop(self) -> None:
        """Ask the work to end; it does so at its next look at `cancel`."""
        self._cancel.set()

    def carry_out(self, work: Work) -> None:
        """Do the work in this thread."""
        try:
            value = work(self._report, self._cancel)
        except BaseException as error:  # not handled here: `result` raises it where it is asked for
            self._ended = time.monotonic()
            self._outcome.set_exception(error)
        else:
            self._ended = time.monotonic()
            self._outcome.set_result(value)

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

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[Key, Job] = {}

    def start(self, key: Key, title: str, work: Work, again: bool = False) -> Job:
        """The job of that key: one that runs or is done, else a new one.

        ``again`` does work anew that is done. What failed or was stopped is always done anew.
        """
        with self._lock:
            known = self._jobs.get(key)
            if known and (known.running or (known.state == "done" and not again)):
                return known
            self._jobs.pop(key, None)  # a new job goes to the end of the list
            job = self._jobs[key] = Job(key, title)
            self._forget_oldest()
        # A daemon: Ctrl+C ends the server at once, and whatever works here must survive that.
        threading.Thread(target=job.carry_out, args=(work,), name=title, daemon=True).start()
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
        """Drop a job that has ended, with its result; one that runs stays."""
        with self._lock:
            known = self._jobs.get(key)
            if known and not known.running:
                del self._jobs[key]

    def _forget_oldest(self) -> None:
        ended = [key for key, job in self._jobs.items() if not job.running]
        for key in ended[: max(0, len(ended) - _KEPT)]:
            del self._jobs[key]


@st.cache_resource(show_spinner=False)
def jobs() -> Jobs:
    """The one manager of this process."""
    return Jobs()


def begin(start: Callable[..., Job], *arguments: Any) -> None:
    """`start(*arguments)` as a button's callback, which returns nothing.

    For a button whose label says all that it does. What depends on fields uses `press.pressed`.
    """
    start(*arguments)


def watch(running: Sequence[Job], draw: Callable[[Job], object]) -> None:
    """Draw jobs that run, twice a second; when one of them ends, the whole page runs again."""
    if running:
        _poll(tuple(running), draw)


@st.fragment(run_every=_POLL)
def _poll(running: tuple[Job, ...], draw: Callable[[Job], object]) -> None:
    if not all(job.running for job in running):
        st.rerun()
    for job in running:
        draw(job)
