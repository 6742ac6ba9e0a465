"""Workers of a Dask cluster that somebody else runs."""

from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any, Generic

from circuit_sparsity.sweep.workers import JobT, ResultT, WorkersDied


class DaskWorkers(Generic[JobT, ResultT]):
    """The threads of a cluster's workers. The scheduler retries what a dead worker was doing.

    Scheduler and workers need this package; workers also need, beside what ships, the same models
    in their own folder (CIRCUIT_SPARSITY_CACHE). Circuits are written here, not there.
    """

    def __init__(self, work: Callable[[JobT], ResultT], scheduler: str, patience: str = "10s"):
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
            self._client = distributed.Client(scheduler, timeout=patience, set_as_default=False)
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
