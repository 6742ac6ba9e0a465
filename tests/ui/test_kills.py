"""SIGKILL in the midst of a job: afterwards it is offered again or finished, and nothing is half.

A job runs in a forked process that is killed at one of its events: half of the deaths are before a
change of the disk (every fsync, renaming, deletion and new folder), half before any of these or a
report of progress, of which a run has some more or fewer.
"""

import os
import random
import shutil
import signal
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from circuit_sparsity.evidence.evidence import EVIDENCE, read_evidence
from circuit_sparsity.experiment.opening import open_circuit, open_stored
from circuit_sparsity.pruning import request as ways
from circuit_sparsity.pruning.request import PruneRequest
from circuit_sparsity.pruning.settings import QUICK
from circuit_sparsity.store import Store
from circuit_sparsity.training.loop import train
from circuit_sparsity.ui.evidence import jobs as evidence_jobs
from circuit_sparsity.ui.prune import jobs as prune_jobs
from circuit_sparsity.ui.shell import transfers
from circuit_sparsity.ui.shell.jobs import Job, jobs
from circuit_sparsity.ui.shell.pickers import Choice
from tests.training.test_loop import tiny_corpus, tiny_settings
from tests.ui.conftest import MODEL, SWEEP, TASK, K

pytestmark = pytest.mark.soak

WEIGHTS = ("models/m/weights.bin", "models/m/more.bin")
CHANGES = ("fsync", "replace", "unlink", "mkdir")


@dataclass(frozen=True)
class Killable:
    """A job, what must hold after its death, and how its traces are removed."""

    run: Callable[[], object]  # to the end; what it gives, to be compared
    check: Callable[[], None]
    clean: Callable[[], None]


@contextmanager
def events(at: Callable[[], object], reports: bool):
    """Call `at` before every change of the disk, and every report of a job if asked."""
    real = {name: getattr(os, name) for name in CHANGES}
    report = Job._report

    def told(before):
        def call(*args, **kwargs):
            at()
            return before(*args, **kwargs)

        return call

    for name, before in real.items():
        setattr(os, name, told(before))
    if reports:
        Job._report = told(report)
    try:
        yield
    finally:
        for name, before in real.items():
            setattr(os, name, before)
        Job._report = report


def counted(run: Callable[[], object], reports: bool) -> tuple[object, int]:
    """What a run gives, and how many events it has."""
    seen: list[int] = []
    with events(lambda: seen.append(1), reports):
        found = run()
    return found, len(seen)


def killed(run: Callable[[], object], event: int, reports: bool) -> bool:
    """Whether a forked run died before its `event`-th event, rather than ended earlier."""
    child = os.fork()
    if child == 0:
        left = [event]

        def count():
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            torch.set_num_threads(1)  # the threads of a pool do not survive the fork
            with events(count, reports):
                run()
            os._exit(0)
        except BaseException:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, -signal.SIGKILL), "the job failed without being killed"
    return code != 0


def forgotten() -> None:
    for job in jobs().all(("prune", "fetch", evidence_jobs.KIND)):
        jobs().forget(job.key)


@pytest.fixture
def pruning(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Killable:
    monkeypatch.setattr(ways, "DOCUMENT_WINDOWS", 2)
    store, request = (
        Store.from_environment(),
        PruneRequest(MODEL, "for_while", k=12, settings=QUICK),
    )

    def run() -> object:
        forgotten()
        found = prune_jobs.prune(store, request).result()
        return found.choice, found.loss, open_stored(store, *found.choice).circuit.nodes

    def check() -> None:
        results = list(own_cache.glob(f"viz/{MODEL}/for_while/*/*/viz_data.pt"))
        for path in results:
            sweep, k = path.parts[-3:-1]
            assert open_circuit(MODEL, "for_while", sweep, k).circuit.size == 12
        offered = [one.request for one in prune_jobs.unfinished(store)]
        written = list((own_cache / "unfinished").glob("*.json"))
        assert offered == [request] * len(written)
        assert results or offered or not list(own_cache.glob(f"viz/{MODEL}/for_while/*"))

    def clean() -> None:
        shutil.rmtree(own_cache / "viz" / MODEL / "for_while", ignore_errors=True)
        shutil.rmtree(own_cache / "unfinished", ignore_errors=True)

    return Killable(run, check, clean)


@pytest.fixture
def measuring(own_cache: Path) -> Killable:
    store, choice = Store.from_environment(), Choice(MODEL, TASK, SWEEP, K)
    whole = open_circuit(*choice)
    few = replace(whole, batch=whole.batch.select(range(2)))
    folder = own_cache / "viz" / MODEL / TASK / SWEEP / K
    known: list[object] = []

    def run() -> object:
        forgotten()
        known.append(evidence_jobs.start(store, choice, few, False).result())
        return known[-1]

    def check() -> None:
        assert read_evidence(store, few.circuit) in (None, *known)

    def clean() -> None:
        for path in folder.glob(f"*{EVIDENCE}*"):
            path.unlink()

    return Killable(run, check, clean)


@pytest.fixture
def download(tmp_path: Path) -> Killable:
    mirror, mine = tmp_path / "mirror", tmp_path / "mine"
    content = {name: random.Random(name).randbytes(300_000) for name in WEIGHTS}
    for name, data in content.items():
        (mirror / name).parent.mkdir(parents=True, exist_ok=True)
        (mirror / name).write_bytes(data)
    store = Store(tmp_path / "shipped", mine, mirror.as_uri())

    def run() -> object:
        forgotten()
        result = transfers.fetch(store, WEIGHTS, "Two files").result()
        return dict(result.bad), sorted(result.good), result.size

    def check() -> None:
        for name, data in content.items():
            found = store.find(name)
            assert found is None or found.read_bytes() == data

    return Killable(run, check, lambda: shutil.rmtree(mine, ignore_errors=True))


@pytest.fixture
def training(tmp_path: Path) -> Killable:
    settings, corpus, folder = tiny_settings(), tiny_corpus(), tmp_path / "run"

    def run() -> object:
        model = train(settings, corpus, folder)
        return {name: value.tolist() for name, value in model.state_dict().items()}

    return Killable(run, lambda: None, lambda: shutil.rmtree(folder, ignore_errors=True))


LONG = pytest.mark.parametrize("points", [pytest.param(20, marks=pytest.mark.soak)])


def short_and_long(few: int) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "points", [few, pytest.param(20, marks=pytest.mark.soak)], ids=["few", "twenty"]
    )


def survives(job: Killable, points: int) -> None:
    """Killed at so many events, evenly spread, each time it then ends as if it had not been."""
    whole = job.run()  # the first one makes folders that are there for all others
    job.clean()
    again, changes = counted(job.run, reports=False)
    assert again == whole
    job.clean()
    totals = {False: changes, True: counted(job.run, reports=True)[1] * 4 // 5}
    for number in range(points):
        job.clean()
        reports = number % 2 == 1
        event = (2 * number + 1) * totals[reports] // (2 * points)
        assert killed(job.run, event, reports)
        job.check()
        assert job.run() == whole
        job.check()


@LONG
def test_a_killed_pruning_is_offered_again_or_finished(pruning: Killable, points: int) -> None:
    survives(pruning, points)


@LONG
def test_killed_evidence_is_whole_or_missing(measuring: Killable, points: int) -> None:
    survives(measuring, points)


@short_and_long(4)
def test_a_killed_download_goes_on(download: Killable, points: int) -> None:
    survives(download, points)


@short_and_long(4)
def test_a_killed_training_ends_at_the_same_weights(training: Killable, points: int) -> None:
    survives(training, points)
