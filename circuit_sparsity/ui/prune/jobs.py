"""Pruning as jobs: a run from a request, and a circuit cut from a run at another size."""

import dataclasses
import hashlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from circuit_sparsity.circuits.node_vector import Layout
from circuit_sparsity.core.checkpoint import read_config
from circuit_sparsity.core.names import Location
from circuit_sparsity.experiment.experiment import Experiment
from circuit_sparsity.pruning.find import Cut
from circuit_sparsity.pruning.learn import Snapshot
from circuit_sparsity.pruning.ranking import Nested
from circuit_sparsity.pruning.request import Observer, PruneRequest, carry_out, keep
from circuit_sparsity.pruning.settings import Goal
from circuit_sparsity.store import NoSpace, Store, paths
from circuit_sparsity.tasks.own import OwnTask, pairs_as_jsonl
from circuit_sparsity.tasks.task import Pair
from circuit_sparsity.ui.prune.unfinished import noted
from circuit_sparsity.ui.shell.jobs import Job, Key, Report, Work, jobs
from circuit_sparsity.ui.shell.pickers import Choice

KINDS = ("prune", "cut")
Nodes = Mapping[Location, tuple[int, ...]]
Stage = Literal["open", "masks", "size", "nodes", "edges", "measure", "room"]


@dataclass(frozen=True)
class Point:
    """A line of the course: ``done`` steps, sizes or removals, and what the circuit was then."""

    stage: Stage
    done: int
    loss: float  # nats per sequence
    nodes: int


@dataclass(frozen=True)
class Course:
    """How far a job is, and how it got there."""

    stage: Stage = "open"
    done: int = 0
    of: int = 0
    points: tuple[Point, ...] = ()
    target: float | None = None  # nats per sequence
    model: str = ""
    nodes: Nodes = field(default_factory=dict)  # on now
    trouble: str = ""  # what it waits for, in words

    def after(self, snapshot: Snapshot, nodes: Nodes) -> "Course":
        stage: Stage = snapshot.stage  # type: ignore[assignment]
        point = Point(stage, snapshot.done, snapshot.loss, snapshot.nodes)
        return dataclasses.replace(
            self,
            stage=stage,
            done=snapshot.done,
            of=snapshot.of,
            points=(*self.points, point),
            nodes=nodes,
        )

    def at(self, stage: Stage) -> tuple[Point, ...]:
        return tuple(point for point in self.points if point.stage == stage)

    @property
    def is_of_curve(self) -> bool:
        """Whether sizes are tried for the curve only: the circuit is there."""
        return self.stage == "size" and bool(self.at("nodes") or self.at("edges"))


@dataclass(frozen=True)
class Found:
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

    def work(report: Report, cancel: threading.Event) -> Found:
        hear = _Hearer(report, Course(target=request.target, model=request.model), store)
        with noted(store, title, request, task):
            observer = Observer(hear.snapshot, hear.measured, hear.no_room, cancel)
            made = carry_out(request, store, observer, task)
            return _found(made.experiment, made.path)

    goal = f"exactly {request.k} nodes" if request.k is not None else f"loss {request.target:g}"
    how = f"{request.settings.preset}, seed {request.settings.seed}"
    how += "" if request.start is None else f", from {' · '.join(request.start)}"
    how += "" if request.means_over is None else f", means over {Path(request.means_over).name}"
    title = f"{request.model} · {request.task} · {goal} · {how}"
    return _start(("prune", store, request, task), title, work)


def cut(
    store: Store,
    choice: Choice,
    k: int,
    refine: bool,
    opened: Callable[[], tuple[Cut, Nested, Experiment, OwnTask | None]],
) -> Job:
    """The job that stores the circuit of k nodes of a run; ``refine`` removes node by node."""

    def work(report: Report, cancel: threading.Event) -> Found:
        hear = _Hearer(report, Course(model=choice.model), store)
        there, nested, experiment, task = opened()
        mine = Cut(there.subject, nested.ranking, hear.snapshot, cancel)
        circuit = mine.circuit(Goal(k=k), choice.sweep, refine)
        named = f"{choice.k}_{'refined' if refine else 'cut'}{k}"
        circuit = dataclasses.replace(circuit, k=named)
        experiment = dataclasses.replace(experiment, circuit=circuit)
        observer = Observer(hear.snapshot, hear.measured, hear.no_room, cancel)
        path = keep(experiment, store, nested, task, observer=observer)
        return _found(experiment, path)

    how = "refined" if refine else "cut"
    title = f"{' · '.join(choice)} · {how} at {k} nodes"
    return _start(("cut", store, choice, k, refine), title, work)


def _start(key: Key, title: str, work: Work) -> Job:
    """The job of that key; done anew where its circuit was deleted meanwhile."""
    known = jobs().find(key)
    gone = known is not None and known.state == "done" and not known.result().path.is_file()
    return jobs().start(key, title, work, again=gone)


class _Hearer:
    """Gathers what a run reports into the course that the job shows."""

    def __init__(self, report: Report, course: Course, store: Store) -> None:
        self._report, self._course = report, course
        folder = store.path_of_model(course.model)
        self._layout = None if folder is None else Layout(read_config(folder / paths.CONFIG))
        report(course)

    def snapshot(self, snapshot: Snapshot) -> None:
        nodes = {} if self._layout is None else self._layout.nodes(snapshot.kept)
        self._course = self._course.after(snapshot, nodes)
        self._report(self._course)

    def no_room(self, error: NoSpace) -> None:
        self._report(dataclasses.replace(self._course, stage="room", trouble=str(error)))

    def measured(self, done: int, of: int) -> None:
        self._report(dataclasses.replace(self._course, stage="measure", done=done, of=of))


def _found(it: Experiment, path: Path) -> Found:
    circuit = it.circuit
    removal, loss = circuit.found.minimality, circuit.found.loss
    assert loss is not None, "a circuit found here tells its loss"
    return Found(
        Choice(circuit.model, circuit.task, circuit.sweep, circuit.k),
        path,
        circuit.size,
        len(it.edges),
        {} if removal is None else removal.to_dict(),
        loss,
        it.of_circuit.loss,
        it.of_model.loss,
        it.batch_name,
    )
