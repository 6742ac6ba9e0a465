"""Processes of this machine that carry out jobs, one each; a job outlives its process."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

JobT = TypeVar("JobT")
ResultT = TypeVar("ResultT")
JobT_contra = TypeVar("JobT_contra", contravariant=True)
ResultT_co = TypeVar("ResultT_co", covariant=True)
DEATHS = 3  # of workers, with the same job, before the job is at fault


@runtime_checkable
class Workers(Protocol[JobT_contra, ResultT_co]):
    """Carry out jobs somewhere, ``size`` of them at once."""

    @property
    def size(self) -> int: ...

    def submit(self, number: int, job: JobT_contra) -> None:
        """Begin a job; at most ``size`` run at any time."""
        ...

    def next(self) -> tuple[int, ResultT_co]:
        """Wait for any job to end; its number and result. ValueError is what a job says."""
        ...

    def close(self) -> None:
        """Drop what is running."""
        ...


class WorkersDied(ChildProcessError):
    """The same job took several workers down."""

    def __init__(self, deaths: int, number: int) -> None:
        super().__init__(
            f"{deaths} workers died one after the other while trial {number} ran; too little "
            "memory is the usual reason. Finished trials are kept: give the same command again "
            "with fewer --jobs"
        )


class LocalWorkers(Generic[JobT, ResultT]):
    """One spawned process for each of ``size`` jobs; a dead one is replaced, its job retried."""

    def __init__(self, work: Callable[[JobT], ResultT], size: int) -> None:
        if size < 1:
            raise ValueError(f"got {size} jobs at once; expected 1 or more")
        self._work, self.size = work, size
        self._idle: list[_Process] = []
        self._busy: dict[Connection, tuple[_Process, int, JobT]] = {}
        self._deaths: Counter[int] = Counter()

    def submit(self, number: int, job: JobT) -> None:
        process = self._idle.pop() if self._idle else _Process(self._work)
        self._busy[process.pipe] = (process, number, job)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # ``next`` sees it dead
            process.pipe.send(job)

    def next(self) -> tuple[int, ResultT]:
        while True:
            pipe = wait(list(self._busy))[0]
            process, number, job = self._busy.pop(pipe)  # type: ignore[index]
            try:
                result, refusal = process.pipe.recv()
            except (EOFError, ConnectionResetError):
                process.stop()
                self._deaths[number] += 1
                if self._deaths[number] == DEATHS:
                    raise WorkersDied(DEATHS, number) from None
                self.submit(number, job)
                continue
            self._idle.append(process)
            self._deaths.pop(number, None)
            if refusal is not None:
                raise ValueError(refusal)
            return number, result

    def close(self) -> None:
        for process in [*self._idle, *(process for process, _, _ in self._busy.values())]:
            process.stop()
        self._idle, self._busy = [], {}


class _Process:
    def __init__(self, work: Callable[[Any], Any]) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self._process: BaseProcess = context.Process(target=_serve, args=(other, work), daemon=True)
        with _one_thread(), _without_ctrl_c():
            self._process.start()
        other.close()

    def stop(self) -> None:
        self._process.kill()
        self._process.join()
        self._process.close()
        self.pipe.close()


class _one_thread:
    """Processes started meanwhile compute on one thread each: libraries read this on loading."""

    def __enter__(self) -> None:
        self._before = os.environ.get("OMP_NUM_THREADS")
        os.environ["OMP_NUM_THREADS"] = "1"

    def __exit__(self, *_: object) -> None:
        if self._before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = self._before


@contextlib.contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Processes started meanwhile never hear Ctrl-C, not even while they load what they need."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # starting it with the first process would unblock again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: Connection, work: Callable[[Any], Any]) -> None:
    """Jobs in, results out, until whoever asks is gone.

    Ctrl-C reaches every process of a terminal; whoever asks decides what it means.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where the mask is not inherited
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        try:
            answer = (work(job), None)
        except (ValueError, OSError) as error:
            answer = (None, str(error))
        pipe.send(answer)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


class DaskWorkers(Generic[JobT, ResultT]):
    """The threads of a cluster's workers. The scheduler retries what a dead worker was doing.

    Scheduler and workers need this package; workers also need, beside what ships, the same models
    in their own folder (CIRCUIT_SPARSITY_CACHE). Circuits are written here, not there.
    """

    def __init__(self, work: Callable[[JobT], ResultT], scheduler: str, timeout: str = "10s"):
        try:
            import distributed  # the pages and the other commands do without it
        except ImportError as error:
            raise ValueError(
                f"--scheduler needs Dask's package distributed, which cannot be loaded ({error}): "
                "`pip install -r requirements-cluster.txt`, or leave --scheduler out to use "
                "this machine"
            ) from error
        self._work, self._scheduler, self._dask = work, scheduler, distributed
        try:
            self._client = distributed.Client(scheduler, timeout=timeout, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ValueError(
                f"no Dask scheduler answers at {scheduler!r} ({error}); expected an address such "
                "as tcp://10.0.0.5:8786: start one with `dask scheduler` and workers with "
                "`dask worker ADDRESS`"
            ) from error
        self._numbers: dict[Any, int] = {}
        self._ended = distributed.as_completed(loop=self._client.loop)
        self._submitted = 0

    @property
    def size(self) -> int:
        """Threads of all workers that are there now; 1 while there is none, to wait for it."""
        threads: Any = self._client.nthreads()
        return max(1, sum(threads.values()))

    def submit(self, number: int, job: JobT) -> None:
        self._submitted += 1
        future = self._client.submit(
            self._work, job, pure=False, key=f"{self._client.id}-{self._submitted}"
        )
        self._numbers[future.key] = number
        self._ended.add(future)

    def next(self) -> tuple[int, ResultT]:
        future = next(self._ended)
        number = self._numbers.pop(future.key)
        try:
            return number, future.result()
        except self._dask.KilledWorker as error:
            raise WorkersDied(error.allowed_failures + 1, number) from error
        except CancelledError as error:
            raise ConnectionError(
                f"the Dask scheduler at {self._scheduler} is gone. Finished trials are kept: "
                "give the same command again once it is back"
            ) from error
        except (RuntimeError, ImportError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(
                f"the Dask cluster could not run trial {number} ({reason}). Its scheduler and "
                "workers need this package and its requirements, as they are here"
            ) from error

    def close(self) -> None:
        self._ended.clear()
        self._client.close()
