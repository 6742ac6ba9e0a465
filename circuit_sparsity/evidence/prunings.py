"""Evidence that takes further pruning: shuffled answers, an untrained model, other seeds."""

import dataclasses
import itertools
import operator
import threading
from collections.abc import Sequence

import torch

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.circuits.means import Means
from circuit_sparsity.core.model import GPT
from circuit_sparsity.core.tokenizer import Tokenizer
from circuit_sparsity.evidence.evidence import Control, Stability
from circuit_sparsity.experiment.experiment import Experiment
from circuit_sparsity.pruning.attribution import attribute
from circuit_sparsity.pruning.find import Cut, find, rank
from circuit_sparsity.pruning.learn import SnapshotReport
from circuit_sparsity.pruning.ranking import Ranking, read_nested
from circuit_sparsity.pruning.request import means_over_programs, open_subject
from circuit_sparsity.pruning.settings import QUICK, Goal, PruneSettings
from circuit_sparsity.pruning.subject import Subject
from circuit_sparsity.store import Store
from circuit_sparsity.tasks.task import Task, TaskBatch


def ranking_of(
    store: Store, experiment: Experiment, cancel: threading.Event | None = None
) -> tuple[Ranking, str]:
    """The run's own ranking, or one by attribution where none is stored; and which, in words."""
    names = (
        experiment.circuit.model,
        experiment.circuit.task,
        experiment.circuit.sweep,
        experiment.circuit.k,
    )
    path = store.path_of_viz(*names)
    nested = None if path is None else read_nested(path.parent)
    if nested is not None:
        return nested.ranking, "the run that found the circuit"
    subject = Subject(
        experiment.model, experiment.means, experiment.batch, experiment.batch, names[0], names[1]
    )
    return attribute(subject, QUICK, cancel), "attribution on the same prompts"


def settings_of(experiment: Experiment) -> PruneSettings:
    """Those that found the circuit; the usual ones where it does not say."""
    found = experiment.circuit.found.settings
    return PruneSettings() if found is None else PruneSettings.from_dict(found)


NONSENSE = "shuffled answers"
UNTRAINED = "untrained model"
PERMUTED = "permuted weights"
SEEDS = (0, 1, 2)


def _silent(snapshot: object) -> None:
    pass


def nonsense_control(
    subject: Subject,
    circuit: Circuit,
    settings: PruneSettings,
    report: SnapshotReport = _silent,
    cancel: threading.Event | None = None,
) -> Control:
    """Prune to as many nodes on the same prompts with shuffled answers, which nothing can know.

    Measured on the prompts pruned on: what is asked is whether a mask can learn them by heart.
    Beside it the best that the same ranking reaches at any size: a search that fails at one size
    says nothing, and one that fails at all of them that it was no search.
    """
    pairs = range(min(settings.evaluation_pairs, subject.prompts.n_pairs))
    real = subject.prompts.select(pairs)
    shuffled = shuffled_answers(real, settings.seed)
    nonsense = dataclasses.replace(subject, prompts=shuffled, evaluation=shuffled, validation=None)
    goal = Goal(k=circuit.size)
    cut = Cut(nonsense, rank(nonsense, settings, goal, report, cancel), report, cancel)
    found = cut.circuit(goal)
    nodes, best = min((*cut.curve(), (found.size, _loss_of(found))), key=lambda point: point[1])
    on_real = Experiment(circuit, subject.model, subject.means, real).of_circuit.loss
    name = f"{len(real)} prompts that the control was pruned on"
    losses = (_loss_of(found),)
    return Control(NONSENSE, name, losses, on_real, best_loss=best, best_nodes=nodes)


def shuffled_answers(batch: TaskBatch, seed: int = 0) -> TaskBatch:
    """``batch`` with right and wrong exchanged in half of the pairs, in both of their prompts."""
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(batch.n_pairs, generator=generator) < batch.n_pairs / 2
    swap = chosen.repeat(2).to(batch.right.device)
    return dataclasses.replace(
        batch,
        right=torch.where(swap, batch.wrong, batch.right),
        wrong=torch.where(swap, batch.right, batch.wrong),
    )


def untrained_control(
    subject: Subject,
    experiment: Experiment,
    tokenizer: Tokenizer,
    settings: PruneSettings,
    report: SnapshotReport = _silent,
    cancel: threading.Event | None = None,
    permuted: bool = False,
) -> Control:
    """Prune a model of the same shape and fresh random weights to as many nodes, on the task.

    With ``permuted``, its weights are those of the trained model, shuffled inside each matrix: as
    many of them are zero, and their sizes are the same.
    """
    model = GPT(subject.model.config).requires_grad_(False)
    model.initialise(settings.seed)
    if permuted:
        shuffle_weights(subject.model, model, settings.seed)
    model = model.to(subject.device)  # made on the CPU, the same on every device
    other = dataclasses.replace(subject, model=model, means=means_over_programs(model, tokenizer))
    k = experiment.circuit.size
    found = find(other, settings, k=k, report=report, cancel=cancel)
    control = dataclasses.replace(experiment, circuit=found, model=model, means=other.means)
    losses = (control.of_circuit.loss,)
    name = PERMUTED if permuted else UNTRAINED
    return Control(name, experiment.batch_name, losses, experiment.of_circuit.loss)


def shuffle_weights(trained: GPT, into: GPT, seed: int = 0) -> None:
    """Give ``into`` every parameter of ``trained`` with its entries in a random order."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in into.named_parameters():
            values = operator.attrgetter(name)(trained).detach().cpu().flatten()
            order = torch.randperm(len(values), generator=generator)
            parameter.copy_(values[order].view_as(parameter))


def stability(
    model: GPT | str,
    task: Task | str,
    settings: PruneSettings,
    *,
    target: float | None = None,
    k: int | None = None,
    seeds: Sequence[int] = SEEDS,
    means: Means | None = None,
    report: SnapshotReport = _silent,
    cancel: threading.Event | None = None,
    device: str = "cpu",
) -> Stability:
    """Prune once for each seed, of masks and of prompts, and compare the nodes.

    Everything outside is held at ``means``, or at the model's. ``device`` is where a model that is
    given by its name runs.

    Raises ValueError for fewer than two seeds, and as ``find`` does.
    """
    if len(seeds) < 2:
        raise ValueError(f"got {len(seeds)} seeds; overlap takes at least two")
    found = []
    for seed in seeds:
        seeded = dataclasses.replace(settings, seed=seed)
        subject = open_subject(model, task, seeded, means=means, device=device)
        found.append(find(subject, seeded, target=target, k=k, report=report, cancel=cancel))
    return stability_of(found)


def stability_of(circuits: Sequence[Circuit]) -> Stability:
    """How much the nodes of several circuits overlap."""
    return Stability(
        tuple(circuit.found.seed or 0 for circuit in circuits),
        tuple(circuit.size for circuit in circuits),
        tuple(map(_loss_of, circuits)),
        tuple(jaccard(one, other) for one, other in itertools.combinations(circuits, 2)),
    )


def jaccard(one: Circuit, other: Circuit) -> float:
    """Nodes in both over nodes in either; 1 for two empty circuits."""
    first, second = set(one.node_list), set(other.node_list)
    return len(first & second) / len(first | second) if first | second else 1.0


def _loss_of(circuit: Circuit) -> float:
    loss = circuit.found.loss
    assert loss is not None, "a circuit found here tells its loss"
    return loss
