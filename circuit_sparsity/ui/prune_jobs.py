"""Pruning as jobs: a run from a request, and a circuit cut from a run at another size."""

import dataclasses
import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from circuit_sparsity.experiment import Experiment
from circuit_sparsity.opening import PAIRS, open_tokenizer
from circuit_sparsity.pruning.find import Cut
from circuit_sparsity.pruning.goal import Goal
from circuit_sparsity.pruning.learn import Snapshot
from circuit_sparsity.pruning.nested import Nested, write_nested
from circuit_sparsity.pruning.request import PruneRequest, carry_out, document_windows, keep
from circuit_sparsity.store import Store
from circuit_sparsity.store.atomic import write_atomically
from circuit_sparsity.tasks.own import OwnTask, pairs_as_jsonl
from circuit_sparsity.tasks.task import Pair
from circuit_sparsity.ui.jobs import Job, Key, Report, Work, jobs
from circuit_sparsity.ui.pickers import Choice

KINDS = ("prune", "cut")
Stage = Literal["open", "masks", "size", "nodes", "edges", "measure"]


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

    def after(self, snapshot: Snapshot) -> "Course":
        stage: Stage = snapshot.stage  # type: ignore[assignment]
        point = Point(stage, snapshot.done, snapshot.loss, snapshot.nodes)
        points = (*self.points, point)
        return Course(stage, snapshot.done, snapshot.of, points, self.target)

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
        hear = _Hearer(report, Course(target=request.target))
        made = carry_out(request, store, hear.snapshot, hear.measured, cancel, task)
        if task is not None:
            _write_pairs(task, made.path.parent)
        return _found(made.experiment, made.path)

    goal = f"exactly {request.k} nodes" if request.k is not None else f"loss {request.target:g}"
    how = f"{request.settings.preset}, seed {request.settings.seed}"
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
        hear = _Hearer(report, Course())
        there, nested, experiment, task = opened()
        mine = Cut(there.subject, nested.ranking, hear.snapshot, cancel)
        circuit = mine.circuit(Goal(k=k), choice.sweep, refine)
        named = f"{choice.k}_{'refined' if refine else 'cut'}{k}"
        circuit = dataclasses.replace(circuit, k=named)
        experiment = dataclasses.replace(experiment, circuit=circuit)
        windows = document_windows(experiment.model, open_tokenizer(store, choice.model))
        path = keep(experiment, store, windows, hear.measured, cancel)
        write_nested(nested, path.parent)
        if task is not None:
            _write_pairs(task, path.parent)
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

    def __init__(self, report: Report, course: Course) -> None:
        self._report, self._course = report, course
        report(course)

    def snapshot(self, snapshot: Snapshot) -> None:
        self._course = self._course.after(snapshot)
        self._report(self._course)

    def measured(self, done: int, of: int) -> None:
        self._report(dataclasses.replace(self._course, stage="measure", done=done, of=of))


def _found(it: Experiment, path: Path) -> Found:
    circuit = it.circuit
    return Found(
        Choice(circuit.model, circuit.task, circuit.sweep, circuit.k),
        path,
        circuit.size,
        len(it.edges),
        float(circuit.found["loss"]),
        it.of_circuit.loss,
        it.of_model.loss,
        it.batch_name,
    )


def _write_pairs(task: OwnTask, folder: Path) -> None:
    data = pairs_as_jsonl(task.all_pairs).encode()
    write_atomically(folder / PAIRS, lambda file: file.write(data))
