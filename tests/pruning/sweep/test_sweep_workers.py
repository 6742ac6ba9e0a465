"""Workers that die, refuse, and are asked for in vain."""

import contextlib

import pytest
import sweep_jobs

from circuit_sparsity.pruning.sweep.workers import DaskWorkers, LocalWorkers, WorkersDied


def results_of(workers, marker) -> dict[int, int]:
    """What three jobs came to, two of them at once; the second one's first worker is killed."""
    found = {}
    with contextlib.closing(workers):
        for number in (1, 2):
            workers.submit(number, (str(marker), number))
        while len(found) < 3:
            number, result = workers.next()
            found[number] = result
            if len(found) == 1:
                workers.submit(3, (str(marker), 3))
    return found


def test_a_process_that_is_killed_is_replaced_and_its_job_retried(tmp_path) -> None:
    marker = tmp_path / "killed"
    assert results_of(LocalWorkers(sweep_jobs.square, 2), marker) == {1: 1, 2: 4, 3: 9}
    assert marker.exists()


def test_a_job_that_kills_every_process_is_given_up() -> None:
    with contextlib.closing(LocalWorkers(sweep_jobs.die, 1)) as workers:
        workers.submit(7, 7)
        with pytest.raises(WorkersDied, match="3 workers died .* trial 7 .* Finished trials are"):
            workers.next()


def test_what_a_job_refuses_reaches_whoever_asked() -> None:
    with contextlib.closing(LocalWorkers(sweep_jobs.refuse, 1)) as workers:
        workers.submit(0, 5)
        with pytest.raises(ValueError, match="there is no 5"):
            workers.next()


def test_a_cluster_retries_the_job_of_a_worker_that_is_killed(tmp_path) -> None:
    distributed = pytest.importorskip("distributed")
    marker = tmp_path / "killed"
    options = {"processes": True, "dashboard_address": None, "local_directory": str(tmp_path)}
    with distributed.LocalCluster(2, threads_per_worker=1, host="127.0.0.1", **options) as cluster:
        workers = DaskWorkers(sweep_jobs.square, cluster.scheduler_address)
        assert workers.size == 2
        assert results_of(workers, marker) == {1: 1, 2: 4, 3: 9}
    assert marker.exists()


def test_a_cluster_that_is_not_there_is_said_so() -> None:
    with pytest.raises(ValueError, match="no Dask scheduler answers at 'tcp://127.0.0.1:9'"):
        DaskWorkers(sweep_jobs.square, "tcp://127.0.0.1:9", timeout="1s")
