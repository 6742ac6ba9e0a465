"""Which nodes are most active on a token, measured against what is usual for each of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuit_sparsity.circuits.means import Means
from circuit_sparsity.core.hooks import Hook, no_hook
from circuit_sparsity.core.names import Node
from circuit_sparsity.experiment.experiment import Experiment
from circuit_sparsity.nodes.reading import Reading
from circuit_sparsity.runtime.activations import node_activations


@dataclass(frozen=True)
class Usual:
    """For each node its reference mean, and how far it usually is from it."""

    means: Mapping[Node, float]  # over the pretraining text
    scales: Mapping[Node, float]  # root-mean-square distance from it over the task's prompts


@dataclass(frozen=True)
class Active:
    """A node on one token. ``score`` is (activation − mean) / scale."""

    node: Node
    activation: float
    mean: float
    score: float


def usual(experiment: Experiment, nodes: Sequence[Node], hook: Hook = no_hook) -> Usual:
    """What is usual for ``nodes`` on the tokens of the experiment's prompts, padding left out."""
    batch = experiment.batch
    real = torch.arange(batch.tokens.shape[1]) <= batch.last[:, None]  # prompt pos
    found = node_activations(experiment.model, nodes, batch.tokens, hook)
    means = {node: _mean(experiment.means, node) for node in nodes}
    return Usual(means, {node: _spread(x, means[node], real) for node, x in found.items()})


def most_active(
    reading: Reading, position: int, usual: Usual, most: int | None = None
) -> tuple[Active, ...]:
    """The nodes of ``usual`` at one token, furthest from what is usual first.

    A node that never moves on the prompts is measured against its distance here instead, so its
    score is ±1 or 0: nothing is known of its scale.
    """
    found = []
    for node, mean in usual.means.items():
        activation = float(reading.activations[node][position])
        away = activation - mean
        scale = usual.scales[node] or abs(away) or 1.0
        found.append(Active(node, activation, mean, away / scale))
    return tuple(sorted(found, key=lambda one: (-abs(one.score), one.node))[:most])


@dataclass(frozen=True)
class Different:
    """A node on two tokens. ``score`` is (one − other) / scale."""

    node: Node
    one: float
    other: float
    score: float


def most_different(
    one: tuple[Reading, int], other: tuple[Reading, int], usual: Usual, most: int | None = None
) -> tuple[Different, ...]:
    """The nodes of ``usual`` on two tokens, of two readings, furthest apart first.

    The scale is `Usual`'s; a node that never moves on the prompts has a score of ±1 or 0.
    """
    found = []
    for node in usual.means:
        a, b = (float(reading.activations[node][i]) for reading, i in (one, other))
        scale = usual.scales[node] or abs(a - b) or 1.0
        found.append(Different(node, a, b, (a - b) / scale))
    return tuple(sorted(found, key=lambda pair: (-abs(pair.score), pair.node))[:most])


def _mean(means: Means, node: Node) -> float:
    return float(means.values[node.location][node.channel])


def _spread(x: Float[Tensor, "prompt pos"], mean: float, real: Bool[Tensor, "prompt pos"]) -> float:
    return float((x[real].float() - mean).pow(2).mean().sqrt())
