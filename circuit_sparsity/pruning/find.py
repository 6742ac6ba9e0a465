"""From a subject to a circuit: rank the nodes, decide how many stay, drop what is not needed."""

import dataclasses
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.circuits.edges import edges
from circuit_sparsity.circuits.found import Found
from circuit_sparsity.circuits.means import Means
from circuit_sparsity.experiment.experiment import Cancelled
from circuit_sparsity.pruning.answers import Evaluation
from circuit_sparsity.pruning.attribution import attribute
from circuit_sparsity.pruning.dangling import Liveness
from circuit_sparsity.pruning.descent import Descent
from circuit_sparsity.pruning.learn import Snapshot, SnapshotReport, learn
from circuit_sparsity.pruning.minimality import MOST, Minimal, Trimmer
from circuit_sparsity.pruning.objective import Objective
from circuit_sparsity.pruning.ranking import Ranking
from circuit_sparsity.pruning.settings import FAST, TARGET_LOSS, Goal, PruneSettings
from circuit_sparsity.pruning.size import exactly, fewest, log_grid
from circuit_sparsity.pruning.subject import Subject
from circuit_sparsity.tasks.task import TaskBatch

STEPS = 16


@dataclass(frozen=True)
class Calibration:
    """A margin m (right less wrong) becomes scale·m + shift for the first half of a batch and
    scale·m - shift for the second, whose answers are the other way round."""

    scale: float
    shift: float  # in favour of what is right for positive prompts, in nats

    def apply(self, margins: Float[Tensor, " prompt"]) -> Float[Tensor, " prompt"]:
        return self.scale * margins + self.shift * _sides(margins)


def calibrate(margins: Float[Tensor, " prompt"]) -> Calibration:
    """The scale and shift of least loss, by 16 steps of L-BFGS from 1 and 0.

    The shift is between the two answers: one common to all logits would cancel in a two-way loss.
    """
    margins, sides = margins.detach().double(), _sides(margins).double()
    values = torch.tensor([1.0, 0.0], dtype=torch.float64, device=margins.device)
    values.requires_grad_()
    optimiser = torch.optim.LBFGS([values], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        found = F.softplus(-(values[0] * margins + values[1] * sides)).mean()
        found.backward()
        return found

    with torch.enable_grad():
        optimiser.step(loss)
    scale, shift = values.tolist()
    return Calibration(scale, shift)


def _sides(margins: Float[Tensor, " prompt"]) -> Float[Tensor, " prompt"]:
    """1 for the first half of a batch, -1 for the second."""
    half = len(margins) // 2
    return torch.where(torch.arange(len(margins), device=margins.device) < half, 1.0, -1.0)


PAPER = Goal(TARGET_LOSS)
SWEEP = "local"
PLENTY = 192  # nodes, at least, that removal down to k begins with


class TargetNotReached(ValueError):
    """No size meets the target loss; ``lowest`` is the best that any size reached."""

    def __init__(self, message: str, lowest: float, nodes: int) -> None:
        super().__init__(message)
        self.lowest, self.nodes = lowest, nodes


def find(
    subject: Subject,
    settings: PruneSettings = FAST,
    *,
    target: float | None = None,
    k: int | None = None,
    sweep: str = SWEEP,
    start: Circuit | None = None,
    report: SnapshotReport = lambda snapshot: None,
    cancel: threading.Event | None = None,
) -> Circuit:
    """A circuit of the subject's task: the fewest nodes that meet ``target``, or exactly ``k``.

    ``target`` is a mean loss in nats per sequence (0.15 when neither is given), to be met on the
    evaluation and on the validation prompts. ``found`` tells settings, losses, history, seconds,
    and, where the settings ask for removal, what went and what else could go. With ``start``, a
    circuit of the same model, the search begins with its nodes.
    Raises ValueError for a k that the model does not have, TargetNotReached, and Cancelled when
    ``cancel`` is set meanwhile.
    """
    goal = Goal.of(target, k)
    if k is not None:
        check_size(k, subject)
    ranking = rank(subject, settings, goal, report, cancel, start)
    return Cut(subject, ranking, report, cancel, start).circuit(goal, sweep)


def rank(
    subject: Subject,
    settings: PruneSettings = FAST,
    goal: Goal = PAPER,
    report: SnapshotReport = lambda snapshot: None,
    cancel: threading.Event | None = None,
    start: Circuit | None = None,
) -> Ranking:
    """The subject's nodes by importance, in the way that the settings name.

    The goal is what a steered search ends at; the ranking can be cut at any size. Masks begin with
    the nodes of ``start`` on and all others off; attribution ranks those nodes before all others.
    """
    first = None
    if start is not None:
        first = subject.layout.join(start.masks(subject.model.config))
    if settings.method == "attribution":
        return attribute(subject, settings, cancel, first)
    return learn(subject, settings, goal, report, cancel, first)


def check_size(k: int, subject: Subject) -> None:
    """ValueError unless the model has k nodes."""
    if not 1 <= k <= subject.layout.size:
        raise ValueError(
            f"a circuit of {k} nodes was asked for; {subject.model_name} has "
            f"{subject.layout.size} nodes: choose a number from 1 to that"
        )


def name_of(
    size: int, settings: PruneSettings, start: Circuit | None = None, means: Means | None = None
) -> str:
    """A folder's name that tells size, seed and settings: two seeds at one size never collide.

    Nor do circuits of the model's ``means`` and of others, which are named after their hash.

    >>> name_of(104, PruneSettings(seed=1))
    'k104_seed1'
    >>> name_of(308, PruneSettings(steps=1000, pairs=64, k_coef=1e-4, bf16=False))
    'k308_seed0_published'
    """
    way, begun = settings.preset, "" if start is None else f"_from_{start.k}"
    over = "" if means is None else f"_over_{means.hash[:6]}"
    return f"k{size}_seed{settings.seed}" + ("" if way == "fast" else f"_{way}") + begun + over


class Cut:
    """A ranking cut at any size. Losses that were computed are kept in ``losses``."""

    def __init__(
        self,
        subject: Subject,
        ranking: Ranking,
        report: SnapshotReport = lambda snapshot: None,
        cancel: threading.Event | None = None,
        start: Circuit | None = None,
    ) -> None:
        self.subject, self.ranking, self._begun = subject, ranking, start
        self._report, self._cancel = report, cancel
        self._evaluation = Evaluation(subject, subject.evaluation)
        self._validation = None
        if subject.validation is not None:
            self._validation = Evaluation(subject, subject.validation)
        self._objective = Objective(ranking.settings.objective)
        self._liveness = Liveness(subject.model, subject.means, subject.readout)
        self._started = time.monotonic()
        self.losses: dict[int, float] = {}  # by number of nodes

    def circuit(self, goal: Goal, sweep: str = SWEEP, minimal: bool | None = None) -> Circuit:
        """The circuit of k nodes, or the smallest that meets the target.

        Nodes are removed one by one if ``minimal`` says so, or else the settings. Without, the
        circuit of k nodes is a second's work: it is the ranking's own, one of a nested family.
        """
        if minimal is None:
            minimal = self.ranking.settings.minimal
        if goal.k is not None:
            check_size(goal.k, self.subject)
            kept = self.exactly(goal.k)
        else:
            kept = self.live(self._top(self._fewest(goal.target)))
        if minimal and int(kept.sum()) <= MOST:
            return self._minimal(kept, goal, sweep)
        return self._finished(kept, goal, sweep)

    def exactly(self, k: int) -> Bool[Tensor, " node"]:
        """The k best nodes that are live together."""
        return exactly(k, self.ranking.order, self.subject.layout, self.live)

    def curve(self, sizes: Sequence[int] | None = None) -> tuple[tuple[int, float], ...]:
        """Number of nodes and loss in nats of the nested circuits, on a log grid if not given."""
        grid = log_grid(self.subject.layout.size) if sizes is None else sizes
        return tuple((k, self.loss(self.exactly(k))) for k in grid)

    def _minimal(self, kept: Bool[Tensor, " node"], goal: Goal, sweep: str) -> Circuit:
        """From more nodes than are wanted down to the goal, one by one."""
        size, most = int(kept.sum()), min(MOST, self.subject.layout.size)
        plenty = round(self.ranking.settings.spare * size)
        plenty = plenty if goal.k is None else max(plenty, PLENTY)
        start = self.exactly(max(size, min(plenty, most)))
        settings = self.ranking.settings
        watched = self._report, self._cancel
        trimmer = Trimmer(self.subject, *watched, settings.one_by_one, self._objective)
        circuit = self._circuit(start, sweep)
        if goal.k is None:
            found = trimmer.minimal(circuit, goal.target)
        else:
            found = trimmer.smallest(self._descended(circuit, goal.k), goal.k)
            found = dataclasses.replace(
                found, before=(circuit.size, len(edges(circuit, self.subject.model)))
            )
        masks = found.circuit.masks(self.subject.model.config)
        return self._finished(self.subject.layout.join(masks), goal, sweep, size, found)

    def _descended(self, circuit: Circuit, k: int) -> Circuit:
        """``circuit`` without all but k nodes, the one that can best be spared first."""
        descent = Descent(self.subject, self._objective, self._report, self._cancel)
        return circuit.without(descent.order(circuit, k)[k:])

    def loss(self, kept: Bool[Tensor, " node"]) -> float:
        """The larger mean task loss of evaluation and validation prompts, in nats."""
        if self._cancel is not None and self._cancel.is_set():
            raise Cancelled(f"stopped after {len(self.losses)} sizes were tried")
        size = int(kept.sum())
        if size not in self.losses:
            self.losses[size] = self._measure(kept).worst
            done = len(self.losses)
            self._report(Snapshot("size", done, done, self.losses[size], size, kept))
        return self.losses[size]

    def live(self, kept: Bool[Tensor, " node"]) -> Bool[Tensor, " node"]:
        """``kept`` without its dangling nodes."""
        layout = self.subject.layout
        return layout.join(self._liveness.live(layout.split(kept)))

    def _top(self, n: int) -> Bool[Tensor, " node"]:
        return self.subject.layout.first(self.ranking.order, n)

    def _fewest(self, target: float) -> int:
        def loss_of(n: int) -> float:
            return self.loss(self.live(self._top(n)))

        most = self.subject.layout.size
        found = fewest(loss_of, target, self.ranking.suggested, most)
        if found is None:  # a part of the model may still do better than the whole
            met = [n for n in log_grid(most, per_octave=2) if loss_of(n) <= target]
            found = fewest(loss_of, target, met[0], met[0]) if met else None
        if found is not None:
            return found
        nodes, lowest = min(self.losses.items(), key=lambda item: item[1])
        raise TargetNotReached(
            f"no circuit of {self.subject.model_name} on {self.subject.task_name} has a loss of "
            f"{target} or less: the lowest was {lowest:.4f} nats with {nodes} nodes. "
            f"Ask for a target above that, for k={nodes}, or for more steps",
            lowest,
            nodes,
        )

    def _measure(self, kept: Bool[Tensor, " node"]) -> "_Measured":
        """Losses, calibrated if the settings say so: on the evaluation prompts alone."""
        found = self._evaluation.margins(kept)
        others = None if self._validation is None else self._validation.margins(kept)
        calibration = None
        if self.ranking.settings.calibrate:
            calibration = calibrate(found)
            found = calibration.apply(found)
            others = others if others is None else calibration.apply(others)
        loss, validation = self._loss(found, self.subject.evaluation), None
        if others is not None and self.subject.validation is not None:
            validation = self._loss(others, self.subject.validation)
        return _Measured(loss, validation, calibration)

    def _loss(self, margins: Float[Tensor, " prompt"], batch: TaskBatch) -> float:
        of_model = self._objective.reference(self.subject, batch)
        return float(self._objective(margins.cpu(), of_model).mean())

    def _finished(
        self,
        kept: Bool[Tensor, " node"],
        goal: Goal,
        sweep: str,
        bisected: int | None = None,
        minimal: Minimal | None = None,
    ) -> Circuit:
        ranking, measured = self.ranking, self._measure(kept)
        calibration = measured.calibration
        found = Found(
            by="prune",
            settings=ranking.settings.to_dict(),
            seed=ranking.settings.seed,
            target=goal.target if goal.k is None else None,
            loss=measured.loss,
            validation_loss=measured.validation,
            live=int(self.live(kept).sum()),
            model_nodes=self.subject.layout.size,
            calibration=dataclasses.asdict(calibration) if calibration else None,
            history=ranking.history,
            curve=tuple(sorted(self.losses.items())),
            seconds=ranking.seconds + time.monotonic() - self._started,
            start=None if self._begun is None else self._begun.title,
            minimality=None if minimal is None else minimal.removal(bisected),
            means_over=self.subject.means_over,
        )
        return self._circuit(kept, sweep, found)

    def _circuit(
        self, kept: Bool[Tensor, " node"], sweep: str, found: Found | None = None
    ) -> Circuit:
        subject = self.subject
        own = None if subject.means_over is None else subject.means
        return Circuit(
            subject.layout.nodes(kept),
            subject.model_name,
            subject.task_name,
            sweep,
            name_of(int(kept.sum()), self.ranking.settings, self._begun, own),
            found or Found(means_over=subject.means_over),
            subject.means.hash,
        )


@dataclass(frozen=True)
class _Measured:
    """Mean losses in nats per sequence, as the settings' objective has them."""

    loss: float  # on the evaluation prompts
    validation: float | None
    calibration: Calibration | None

    @property
    def worst(self) -> float:
        return self.loss if self.validation is None else max(self.loss, self.validation)
