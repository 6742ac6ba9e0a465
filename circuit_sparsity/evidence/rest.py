"""Part of the rest: what a circuit answers when only a random share of what is outside it goes.

Ablating everything outside is one point of a path from the model to the circuit. A circuit that
answers at both ends and fails between them leans on what is outside cancelling out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from circuit_sparsity.experiment.experiment import Experiment
from circuit_sparsity.pruning.answers import Evaluation
from circuit_sparsity.pruning.subject import Subject

SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)
DRAWS = 16
FAR = 2.0  # times the circuit's loss: a ninetieth percentile above is red


@dataclass(frozen=True)
class ShareOfRest:
    """Losses with one share of the outside ablated, in nats per sequence, draw by draw."""

    share: float
    losses: tuple[float, ...]
    random: tuple[float, ...]  # as many random nodes kept in the circuit's place

    @property
    def mean(self) -> float:
        return sum(self.losses) / len(self.losses)

    @property
    def random_mean(self) -> float:
        return sum(self.random) / len(self.random)

    @property
    def p90(self) -> float:
        """Nine draws of ten are no worse (linear between two draws)."""
        return quantile(self.losses, 0.9)

    @property
    def worst(self) -> float:
        return max(self.losses)


@dataclass(frozen=True)
class PartOfRest:
    """Every share, and the circuit's own loss on the same prompts: the share of 1."""

    prompts: str  # in words
    circuit_loss: float  # nats per sequence
    shares: tuple[ShareOfRest, ...]

    @property
    def trouble(self) -> str | None:
        """What is wrong where a share often breaks the circuit; None where none does."""
        worst = max(self.shares, key=lambda one: one.p90)
        if worst.p90 <= FAR * self.circuit_loss:
            return None
        return (
            f"Part of the rest: with a random {worst.share:.0%} of what is outside ablated, one "
            f"draw in ten has a loss of {worst.p90:.4f} nats or more (worst {worst.worst:.4f}), "
            f"the circuit alone {self.circuit_loss:.4f}; it depends on the rest being all there "
            "or all gone"
        )


def part_of_rest(
    experiment: Experiment,
    shares: Sequence[float] = SHARES,
    draws: int = DRAWS,
    step: Callable[[], None] = lambda: None,
) -> PartOfRest:
    """The circuit kept and each share of the rest ablated, in ``draws`` seeded draws.

    A draw's control keeps as many nodes as the circuit has, drawn from all nodes, and ablates the
    same share of what is outside them. ``step`` is called before each draw.
    """
    batch, names = experiment.batch, (experiment.circuit.model, experiment.circuit.task)
    subject = Subject(experiment.model, experiment.means, batch, batch, *names)
    layout, runs = subject.layout, Evaluation(subject, batch)
    kept = layout.join(experiment.alive)
    found: list[ShareOfRest] = []
    for share in shares:
        losses, random = list[float](), list[float]()
        for seed in range(draws):
            step()
            generator = torch.Generator().manual_seed(seed)
            order = torch.rand(layout.size, generator=generator)
            drawn = torch.zeros_like(kept)
            drawn[torch.randperm(layout.size, generator=generator)[: int(kept.sum())]] = True
            for one, into in ((kept, losses), (drawn, random)):
                outside = (~one).nonzero().flatten()
                gone = outside[order[outside].argsort()[: round(share * len(outside))]]
                alive = torch.ones_like(kept)
                alive[gone] = False
                into.append(runs.loss(alive))
        found.append(ShareOfRest(share, tuple(losses), tuple(random)))
    return PartOfRest(experiment.batch_name, experiment.of_circuit.loss, tuple(found))


def quantile(values: Sequence[float], q: float) -> float:
    """Linear between the two nearest of the sorted values.

    >>> quantile([3.0, 1.0, 2.0], 0.75)
    2.5
    """
    return float(torch.tensor(values, dtype=torch.float64).quantile(q))
