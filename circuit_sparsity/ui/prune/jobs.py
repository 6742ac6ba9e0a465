"""Pruning as jobs: runs, cuts at another size, and what the end of the app cut off.

A request lies in the user's folder from the click until its job ends, under a lock that ends with
the process. A request without a holder of its lock was cut off.
"""

import dataclasses
import hashlib
import json
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from circuit_sparsity.circuits.node_vector import Layout
from circuit_sparsity.core.checkpoint import read_config
from circuit_sparsity.core.names import Location
from circuit_sparsity.experiment.experiment import Experiment
from circuit_sparsity.pruning.find import Cut
from circuit_sparsity.pruning.learn import Snapshot
from circuit_sparsity.pruning.ranking import Nested
from circuit_sparsity.pruning.request import Observer, PruneRequest, carry_out, keep
from circuit_sparsity.pruning.settings import Goal
from circuit_sparsity.store import Damaged, NoSpace, Store, paths
from circuit_sparsity.store.atomic import write_atomically
from circuit_sparsity.store.download import lock_path
from circuit_sparsity.store.json_files import decode_json_as, read_bounded
from circuit_sparsity.tasks.own import OwnTask, pairs_as_jsonl, read_pairs
from circuit_sparsity.tasks.task import Pair
from circuit_sparsity.ui.shell.jobs import Job, Key, ReportProgress, Work, jobs
from circuit_sparsity.ui.shell.pickers import Choice

KINDS = ("prune", "cut")
Nodes = Mapping[Location, tuple[int, ...]]
Stage = Literal["open", "masks", "size", "nodes", "edges", "measure", "disk full"]


@dataclass(frozen=True)
class SizePoint:
    """A line of the curve: ``done`` steps, sizes or removals, and what the circuit was then."""

    stage: Stage
    done: int
    loss: float  # nats per sequence
    nodes: int


@dataclass(frozen=True)
class PruningProgress:
    """How far a job is, and how it got there."""

    stage: Stage = "open"
    done: int = 0
    of: int = 0
    points: tuple[SizePoint, ...] = ()
    target: float | None = None  # nats per sequence
    model: str = ""
    nodes: Nodes = field(default_factory=dict)  # on now
    trouble: str = ""  # what it waits for, in words

    def after(self, snapshot: Snapshot, nodes: Nodes) -> "PruningProgress":
        stage: Stage = snapshot.stage  # type: ignore[assignment]
        point = SizePoint(stage, snapshot.done, snapshot.loss, snapshot.nodes)
        return dataclasses.replace(
            self,
            stage=stage,
            done=snapshot.done,
            of=snapshot.of,
            points=(*self.points, point),
            nodes=nodes,
        )

    def at(self, stage: Stage) -> tuple[SizePoint, ...]:
        return tuple(point for point in self.points if point.stage == stage)

    @property
    def is_of_curve(self) -> bool:
        """Whether sizes are tried for the curve only: the circuit is there."""
        return self.stage == "size" and bool(self.at("nodes") or self.at("edges"))


@dataclass(frozen=True)
class PruningResult:
    """What a job stored."""

    choice: Choice
    path: Path
    nodes: int
    edges: int
    minimality: Mapping[str, Any]  # what removal came to; empty where there was none
    loss: float  # on the prompts that decided the size, nats per sequence
    test_loss: float
    model_loss: float  # of the whole model, on the test prompts
    prompts: str  # the test prompts, in words


def own_task(name: str, pairs: tuple[Pair, ...]) -> OwnTask:
    """A task of one's own pairs; other pairs under the same name never share a folder."""
    digest = hashlib.sha256(pairs_as_jsonl(pairs).encode()).hexdigest()[:6]
    return OwnTask(f"{name}_{digest}", "Pairs of one's own.", pairs)


def prune(store: Store, request: PruneRequest, task: OwnTask | None = None) -> Job:
    """The job that finds, measures and stores a circuit; one for all who ask for the same."""

    def work(report: ReportProgress, cancel: threading.Event) -> PruningResult:
        listener = _ProgressListener(
            report, PruningProgress(target=request.target, model=request.model), store
        )
        made = carry_out(request, store, listener.observer(cancel), task)
        return _found(made.experiment, made.path)

    goal = f"exactly {request.k} nodes" if request.k is not None else f"loss {request.target:g}"
    how = f"{request.settings.preset}, seed {request.settings.seed}"
    how += "" if request.start is None else f", from {' · '.join(request.start)}"
    how += "" if request.means_over is None else f", means over {Path(request.means_over).name}"
    title = f"{request.model} · {request.task} · {goal} · {how}"
    key = ("prune", store, request, task)
    known = jobs().find(key)
    forget = None if known is not None and known.active else on_disk(store, title, request, task)
    job = _start(key, title, work)
    if forget is not None:
        job.when_ended(forget)
    return job


def cut(
    store: Store,
    choice: Choice,
    k: int,
    refine: bool,
    opened: Callable[[], tuple[Cut, Nested, Experiment, OwnTask | None]],
) -> Job:
    """The job that stores the circuit of k nodes of a run; ``refine`` removes node by node."""

    def work(report: ReportProgress, cancel: threading.Event) -> PruningResult:
        listener = _ProgressListener(report, PruningProgress(model=choice.model), store)
        there, nested, experiment, task = opened()
        mine = Cut(there.subject, nested.ranking, listener.snapshot, cancel)
        circuit = mine.circuit(Goal(k=k), choice.sweep, refine)
        named = f"{choice.k}_{'refined' if refine else 'cut'}{k}"
        circuit = dataclasses.replace(circuit, k=named)
        experiment = dataclasses.replace(experiment, circuit=circuit)
        path = keep(experiment, store, nested, task, observer=listener.observer(cancel))
        return _found(experiment, path)

    how = "refined" if refine else "cut"
    title = f"{' · '.join(choice)} · {how} at {k} nodes"
    return _start(("cut", store, choice, k, refine), title, work)


def _start(key: Key, title: str, work: Work) -> Job:
    """The job of that key; done anew where its circuit was deleted meanwhile."""
    known = jobs().find(key)
    gone = known is not None and known.state == "done" and not known.result().path.is_file()
    return jobs().start(key, title, work, again=gone)


class _ProgressListener:
    """Gathers what a run reports into the progress that the job shows."""

    def __init__(self, report: ReportProgress, so_far: PruningProgress, store: Store) -> None:
        self._report, self._so_far = report, so_far
        folder = store.path_of_model(so_far.model)
        self._layout = None if folder is None else Layout(read_config(folder / paths.CONFIG))
        report(so_far)

    def observer(self, cancel: threading.Event) -> Observer:
        """What a pruning reports to and is stopped by."""
        return Observer(self.snapshot, self.measured, self.disk_full, cancel)

    def snapshot(self, snapshot: Snapshot) -> None:
        nodes = {} if self._layout is None else self._layout.nodes(snapshot.kept)
        self._so_far = self._so_far.after(snapshot, nodes)
        self._report(self._so_far)

    def disk_full(self, error: NoSpace) -> None:
        self._report(dataclasses.replace(self._so_far, stage="disk full", trouble=str(error)))

    def measured(self, done: int, of: int) -> None:
        self._report(dataclasses.replace(self._so_far, stage="measure", done=done, of=of))


def _found(experiment: Experiment, path: Path) -> PruningResult:
    circuit = experiment.circuit
    removal, loss = circuit.found.minimality, circuit.found.loss
    assert loss is not None, "a circuit found here tells its loss"
    return PruningResult(
        Choice(circuit.model, circuit.task, circuit.sweep, circuit.k),
        path,
        circuit.size,
        len(experiment.edges),
        {} if removal is None else removal.to_dict(),
        loss,
        experiment.of_circuit.loss,
        experiment.of_model.loss,
        experiment.batch_name,
    )


_FOLDER = "unfinished"


@dataclass(frozen=True)
class Unfinished:
    """A request that the end of the app cut off, and the pairs of its task if they are own ones."""

    path: Path
    title: str
    request: PruneRequest | None  # None for a record that is damaged
    task: OwnTask | None = None
    trouble: str = ""  # what is wrong with the record

    def forget(self) -> None:
        self.path.unlink(missing_ok=True)


@dataclass(frozen=True)
class _RecordedTask:
    name: str
    summary: str
    pairs: str  # as JSON lines


@dataclass(frozen=True)
class _Record:
    """What lies on the disk of a request; its file is named after the SHA-256 of the text."""

    title: str
    request: PruneRequest
    task: _RecordedTask | None


def on_disk(
    store: Store, title: str, request: PruneRequest, task: OwnTask | None
) -> Callable[[], None]:
    """Write the request to the disk; what takes it away again, however its job ends.

    Raises NoSpace, or what else writing does. Where another process works on the same request, the
    record is that one's.
    """
    text = json.dumps(dataclasses.asdict(_Record(title, request, _recorded(task))), indent=1)
    digest = _digest(text.encode())
    path = _path(store, digest)
    lock = FileLock(_lock(store, digest), thread_local=False)  # the job ends in another thread
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return lambda: None

    def forget() -> None:
        path.unlink(missing_ok=True)
        lock.release()

    try:
        write_atomically(path, lambda file: file.write(text.encode()))
    except BaseException:
        lock.release()
        raise
    return forget


def unfinished(store: Store) -> list[Unfinished]:
    """What was cut off, the oldest first; a damaged record says so and has no request."""
    found: list[tuple[float, Unfinished]] = []
    for path in _path(store, "").parent.glob("*.json"):
        if _is_held(store, path):
            continue
        with suppress(FileNotFoundError):  # its job ended just now
            when = path.stat().st_mtime
            try:
                found.append((when, _read(path)))
            except ValueError as trouble:
                found.append((when, Unfinished(path, path.name, None, trouble=str(trouble))))
    return [one for _, one in sorted(found, key=lambda pair: pair[0])]


def _is_held(store: Store, path: Path) -> bool:
    lock = FileLock(_lock(store, path.stem))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def _read(path: Path) -> Unfinished:
    """What a record holds. Raises FileNotFoundError, and Damaged for what was not written here."""
    what = "a request to prune"
    data = read_bounded(path, what)
    if data is None:
        raise FileNotFoundError(path)
    if _digest(data) != path.stem:
        raise Damaged(f"{path} ({what}) is damaged: it is not what was written under that name")
    record = decode_json_as(data, _Record, f"{path} ({what})")
    task = record.task
    own = None if task is None else OwnTask(task.name, task.summary, read_pairs(task.pairs))
    return Unfinished(path, record.title, record.request, own)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _recorded(task: OwnTask | None) -> _RecordedTask | None:
    if task is None:
        return None
    return _RecordedTask(task.name, task.summary, pairs_as_jsonl(task.all_pairs))


def _path(store: Store, digest: str) -> Path:
    return store.folder / _FOLDER / f"{digest}.json"


def _lock(store: Store, digest: str) -> Path:
    path = lock_path(store.folder, f"{_FOLDER}/{digest}")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
