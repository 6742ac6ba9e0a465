"""Learn masks: descend the task loss and a price on nodes, by a straight-through gate."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuit_sparsity.experiment.experiment import Cancelled
from circuit_sparsity.pruning.answers import by_length, gate_slope, gated, margins
from circuit_sparsity.pruning.objective import Objective
from circuit_sparsity.pruning.ranking import Moment, Ranking
from circuit_sparsity.pruning.settings import Goal, Price, PruneSettings
from circuit_sparsity.pruning.subject import Subject
from circuit_sparsity.tasks.task import TaskBatch

REPORT_EVERY = 10  # steps between lines of history; each reads a number from the device

_WORTHWHILE = 0.8  # share of the nodes below which a smaller computation is made


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Where a run is: ``done`` of ``of`` steps of "masks", sizes tried, nodes or edges removed."""

    stage: str  # "masks", "size", "nodes" or "edges"
    done: int
    of: int
    loss: float  # nats per sequence
    nodes: int
    kept: Bool[Tensor, " node"]  # which nodes are on, as laid out by ``subject.layout``


SnapshotReport = Callable[[Snapshot], None]


def learn(
    subject: Subject,
    settings: PruneSettings,
    goal: Goal,
    report: SnapshotReport = lambda snapshot: None,
    cancel: threading.Event | None = None,
    first: Bool[Tensor, " node"] | None = None,
) -> Ranking:
    """Nodes ranked by their mask parameters after the last step.

    All begin a little on; where nodes are ``first``, those alone. Raises Cancelled when ``cancel``
    is set meanwhile.
    """
    started, run = time.monotonic(), _Run(subject, settings, goal, first)
    history = []
    for step, batch in enumerate(_batches(subject, settings)):
        if cancel is not None and cancel.is_set():
            raise Cancelled(f"stopped after {step} of {settings.steps} steps")
        loss = run.advance(batch)
        if step % REPORT_EVERY == 0 or step == settings.steps - 1:
            kept = (run.tau >= 0).cpu()
            moment = Moment(step + 1, float(loss), int(kept.sum()))
            history.append(moment)
            run.leave(step + 1)
            report(Snapshot("masks", step + 1, settings.steps, moment.loss, moment.nodes, kept))
    seconds = time.monotonic() - started
    suggested = int((run.tau >= 0).sum())
    return Ranking(run.tau.cpu(), suggested, settings, tuple(history), seconds)


def schedule(step: int, settings: PruneSettings) -> float:
    """Share of the peak rate: linear up over the warm-up, then linear down to 0 at the end.

    >>> settings = PruneSettings(steps=10, warm_up=0.2)
    >>> [schedule(step, settings) for step in (0, 1, 2, 6)]
    [0.5, 1.0, 1.0, 0.5]
    """
    rising = settings.warm_up * settings.steps
    falling = (settings.steps - step) / max(settings.steps - rising, 1)
    return min((step + 1) / max(rising, 1), falling, 1.0)


def _batches(subject: Subject, settings: PruneSettings) -> Iterator[TaskBatch]:
    """Seeded draws of pairs without repetition inside a step."""
    generator = torch.Generator().manual_seed(settings.seed)
    for _ in range(settings.steps):
        chosen = torch.randperm(subject.prompts.n_pairs, generator=generator)[: settings.pairs]
        yield subject.prompts.select(chosen.tolist())


class _Run:
    """The mask parameters and their optimiser. The model's own parameters are not touched."""

    def __init__(
        self,
        subject: Subject,
        settings: PruneSettings,
        goal: Goal,
        on: Bool[Tensor, " node"] | None = None,
    ) -> None:
        self.subject, self.settings = subject, settings
        self.price = Price(goal, settings, subject.device)
        generator = torch.Generator().manual_seed(settings.seed)
        noise = torch.randn(subject.layout.size, generator=generator)
        bias = torch.full_like(noise, settings.init_bias)
        bias = bias if on is None else torch.where(on, bias, -bias)
        first = bias + settings.init_scale * noise
        self.tau = first.clamp(-1, 1).to(subject.device)
        self.adam = torch.optim.AdamW(
            [self.tau],
            lr=settings.learning_rate,
            betas=(settings.beta1, 1 - settings.inv_beta2),
            weight_decay=settings.weight_decay,
        )
        rate = torch.optim.lr_scheduler.LambdaLR(self.adam, lambda step: schedule(step, settings))
        self.rate = rate
        self.means = subject.layout.views(subject.mean_vector)
        self.left = None if subject.panels is None else subject.panels.run()
        self.whole, self.objective = self.left, Objective(settings.objective)

    def advance(self, batch: TaskBatch) -> Float[Tensor, ""]:
        """One optimiser step; the task loss before it."""
        gate = (self.tau >= 0).float()
        nodes = gate.sum()
        loss, by_gate = self._task_loss(gate, batch)
        slope = gate_slope(self.tau, self.settings.temperature)
        self.tau.grad = (by_gate + self.price.per_node(nodes)) * slope
        torch.nn.utils.clip_grad_norm_([self.tau], self.settings.grad_clip)
        self.adam.step()
        self.rate.step()
        self.tau.clamp_(-1, 1)
        self.price.see(loss, nodes)
        return loss

    def _task_loss(
        self, gate: Float[Tensor, " node"], batch: TaskBatch
    ) -> tuple[Float[Tensor, ""], Float[Tensor, " node"]]:
        """Mean loss in nats as the settings' objective has it, and its gradient by the gate."""
        total, by_gate = gate.new_zeros(()), torch.zeros_like(gate)
        gate = gate.requires_grad_()
        for part in by_length(batch, max(len(batch) // 2, 32), self.subject.device):
            margin = self._margins(gate, part).float()
            loss = self.objective(margin, self._of_model(part)).sum() / len(batch)
            by_gate += torch.autograd.grad(loss, gate)[0]
            total += loss.detach()
        return total, by_gate

    def _margins(self, gate: Float[Tensor, " node"], part: TaskBatch) -> Float[Tensor, " prompt"]:
        if self.left is not None:
            return self.left.margins(gate, part)
        hook = gated(self.subject.layout.views(gate), self.means)
        with torch.autocast(gate.device.type, torch.bfloat16, enabled=self.settings.bf16):
            return margins(self.subject.model, part, hook)

    @torch.no_grad()
    def _of_model(self, part: TaskBatch) -> Float[Tensor, " prompt"] | None:
        """The whole model's margins, where the objective compares with them."""
        if self.objective.name == "task":
            return None
        if self.whole is not None:
            return self.whole.margins(torch.ones(self.subject.layout.size), part)
        return margins(self.subject.model, part)

    def leave(self, step: int) -> None:
        """After ``step`` steps: take nodes that are out for good out of the computation."""
        if self.subject.panels is None or self.left is None:
            return
        alive = self.tau >= -reach(step, self.settings)
        if int(alive.sum()) <= _WORTHWHILE * int(self.left.alive.sum()):
            self.left = self.subject.panels.run(alive)


def reach(step: int, settings: PruneSettings) -> float:
    """How far a mask parameter can still rise after ``step`` steps; infinite where unknown.

    By the Cauchy-Schwarz inequality no step of Adam is longer than the rate times
    (1 - b1)/sqrt((1 - b2)(1 - b1²/b2)), where b1² < b2, once its corrections for the first steps
    are near 1. A node further below 0 than the rest of the steps can rise stays out; decay only
    draws it towards 0.
    """
    b1, b2 = settings.beta1, 1 - settings.inv_beta2
    if b1 * b1 >= b2 or b2 >= 1:
        return math.inf
    longest = (1 - b1) / math.sqrt((1 - b2) * (1 - b1 * b1 / b2))
    corrected = max(1.0, math.sqrt(1 - b2 ** (step + 1)) / (1 - b1 ** (step + 1)))
    left = sum(schedule(later, settings) for later in range(step, settings.steps))
    return longest * corrected * settings.learning_rate * left
