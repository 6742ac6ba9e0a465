"""An adversary with a budget: the few nodes outside whose ablation hurts the intact circuit most.

Without a budget any circuit breaks: somewhere outside there is always a set that pushes the
answer over. What counts is how many nodes that takes, beside the same adversary against as many
random kept nodes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from circuit_sparsity.circuits.node_vector import Layout
from circuit_sparsity.experiment.experiment import Experiment
from circuit_sparsity.experiment.importance import first_order

BUDGETS = (1, 2, 4, 8, 16, 32, 64)
TRIED = 4  # nodes of largest estimate that are run exactly before the first one is taken
RANDOM_SETS = 2


@dataclass(frozen=True)
class Adversary:
    """Losses after each budget, in nats per sequence."""

    prompts: str  # in words
    budgets: tuple[int, ...]  # nodes ablated outside
    whole: float  # the model with nothing ablated
    losses: tuple[float, ...]  # with the circuit kept
    random: tuple[tuple[float, ...], ...]  # with as many random nodes kept, set by set

    @property
    def words(self) -> str:
        """One line for a reader."""
        pairs = zip(self.budgets, self.losses, strict=True)
        told = ", ".join(f"{nodes} nodes {loss:.3f}" for nodes, loss in pairs)
        return f"worst nodes outside, circuit kept: {told} nats (nothing ablated {self.whole:.3f})"


def adversary(
    experiment: Experiment,
    budgets: Sequence[int] = BUDGETS,
    random_sets: int = RANDOM_SETS,
    step: Callable[[], None] = lambda: None,
) -> Adversary:
    """Ablate, of the whole model, the outside nodes that raise the loss most.

    Greedily: the gradient ranks all nodes that are left, at the state that the ablations so far
    have made; the best few are run before the first is taken, later ones double the set by rank.
    What is found bounds the worst from below. ``step`` is called before each budget of each set.
    """
    layout = Layout(experiment.model.config)
    circuit = layout.join(experiment.alive)
    wanted = tuple(n for n in budgets if n <= int((~circuit).sum()))
    found = _attack(experiment, layout, circuit, wanted, step)
    random: list[tuple[float, ...]] = []
    for seed in range(random_sets):
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(layout.size, generator=generator)
        drawn = layout.first(order, int(circuit.sum()))
        random.append(_attack(experiment, layout, drawn, wanted, step))
    name, whole = experiment.batch_name, experiment.of_model.loss
    return Adversary(name, wanted, whole, found, tuple(random))


def _attack(
    experiment: Experiment,
    layout: Layout,
    protected: Bool[Tensor, " node"],
    budgets: Sequence[int],
    step: Callable[[], None],
) -> tuple[float, ...]:
    alive = torch.ones_like(protected)
    losses: list[float] = []

    def loss_of(mask: Bool[Tensor, " node"]) -> float:
        return experiment.run(layout.split(mask)).loss

    for budget in budgets:
        step()
        of_parts = first_order(
            experiment.model, layout.split(alive), experiment.means, experiment.batch
        )
        rises = layout.join(of_parts).masked_fill(protected | ~alive, -torch.inf)
        order = rises.argsort(descending=True)
        take = budget - int((~alive).sum())
        if take == 1:
            tried = [alive.scatter(0, one[None], False) for one in order[:TRIED]]
            alive = max(tried, key=loss_of)
        else:
            alive = alive.scatter(0, order[:take], False)
        losses.append(loss_of(alive))
    return tuple(losses)
