"""A circuit as its file holds it, in the project's values: losses in nats per sequence.

Nothing here knows the file's keys, its doubled losses or its tensor types.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, TypeVar

from jaxtyping import Float, Int
from torch import Tensor

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.core.checkpoint import parse_config
from circuit_sparsity.core.model import GPTConfig
from circuit_sparsity.core.names import Location, Node
from circuit_sparsity.release.errors import ReleaseError

RUNS_AN_ITERATION = 8
NOT_STORED = math.nan  # a loss that a file made by somebody else leaves out
QUANTILES = (0.001, 0.01, 0.1, 0.5)

Value = TypeVar("Value")


class PerNode(Mapping[Node, Value], Generic[Value]):
    """Values by node, each made from what is stored when it is asked for.

    A file has tens of thousands of small tensors; a page looks at a handful of nodes.
    """

    def __init__(self, stored: Mapping[Node, Any], make: Callable[[Any], Value]) -> None:
        self._stored, self._make = stored, make

    def __getitem__(self, node: Node) -> Value:
        return self._make(self._stored[node])

    def __iter__(self) -> Iterator[Node]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)


@dataclass(frozen=True)
class StoredEdge:
    """A nonzero weight between kept nodes, and how much the loss rises without it."""

    source: Node
    target: Node
    weight: float
    delta: float  # nats per sequence


@dataclass(frozen=True)
class StoredBias:
    """The bias of a kept node; never counted as an edge."""

    target: Node
    weight: float
    delta: float  # nats per sequence


@dataclass(frozen=True, eq=False)
class EdgeMatrix:
    """All weights from the kept nodes of one location to those of another."""

    source: Location
    target: Location
    source_channels: tuple[int, ...]
    target_channels: tuple[int, ...]
    weights: Float[Tensor, "source target"]
    deltas: Float[Tensor, "source target"]  # rise of the loss without it, nats per sequence
    bias_weights: Float[Tensor, " target"] | None = None
    bias_deltas: Float[Tensor, " target"] | None = None

    @cached_property
    def edges(self) -> tuple[StoredEdge, ...]:
        """The nonzero weights, source by source."""
        weights, deltas = self.weights.tolist(), self.deltas.tolist()
        return tuple(
            StoredEdge(Node(self.source, source), Node(self.target, target), weight, delta)
            for source, row, changes in zip(self.source_channels, weights, deltas, strict=True)
            for target, weight, delta in zip(self.target_channels, row, changes, strict=True)
            if weight != 0
        )

    @cached_property
    def biases(self) -> tuple[StoredBias, ...]:
        """One for each target; none where the file has no bias row."""
        if self.bias_weights is None:
            return ()
        weights = self.bias_weights.tolist()
        deltas = [0.0] * len(weights) if self.bias_deltas is None else self.bias_deltas.tolist()
        return tuple(
            StoredBias(Node(self.target, channel), weight, delta)
            for channel, weight, delta in zip(self.target_channels, weights, deltas, strict=True)
        )


@dataclass(frozen=True, eq=False)
class TaskSamples:
    """Prompts of the task, class 1 in the first half, class 2 in the second, paired in order.

    Shorter prompts are filled up on the right with token 0.
    """

    tokens: Int[Tensor, "prompt pos"]
    activations: Mapping[Node, Float[Tensor, "prompt pos"]]


@dataclass(frozen=True, eq=False)
class Doc:
    """A stretch of pretraining text and one node's activation on each of its tokens."""

    tokens: Int[Tensor, " pos"]
    activations: Float[Tensor, " pos"]
    position: int  # of the token the ranking is about


class Extremes(NamedTuple):
    """Documents at one quantile from below (ascending from it) and from above (descending)."""

    bottom: tuple[Doc, ...]
    top: tuple[Doc, ...]


class SearchPoint(NamedTuple):
    """The best loss that a search had found after an iteration, in nats per sequence."""

    iteration: int
    loss: float

    @property
    def runs(self) -> int:
        return (self.iteration + 1) * RUNS_AN_ITERATION


@dataclass(frozen=True, eq=False)
class StoredCircuit:
    """A circuit and everything measured about it when it was made.

    Every loss is a mean over the task samples, in nats per sequence; a node, a location or a
    block stands for the loss of the circuit with that ablated too. Files that others made may
    leave out all but the circuit: the two losses are then NaN (``NOT_STORED``), the rest is empty.
    """

    circuit: Circuit
    model_loss: float
    circuit_loss: float
    node_losses: Mapping[Node, float]
    block_losses: Mapping[str, float]  # by block name, such as "3.mlp"
    edge_matrices: tuple[EdgeMatrix, ...]
    task_samples: TaskSamples  # of the whole model
    task_samples_circuit: TaskSamples  # of the circuit, everything else at its mean
    documents: Mapping[Node, Mapping[float, Extremes]]
    search: tuple[SearchPoint, ...]
    total_nodes: int  # of the model, kept or not; 0 where the file does not say
    model_config: Mapping[str, Any]  # as its file has it
    location_losses: Mapping[Location, float] = field(default_factory=dict)  # empty in many files
    prune_config: Mapping[str, Any] = field(default_factory=dict)
    is_kiter_bug_fixed: bool | None = None  # None where the file does not say

    def __post_init__(self) -> None:
        for name in ("node_losses", "block_losses", "location_losses", "prune_config"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        object.__setattr__(self, "model_config", MappingProxyType(dict(self.model_config)))

    @cached_property
    def config(self) -> GPTConfig:
        """The shape of the model the circuit lives in; ReleaseError where it is not stored."""
        if not self.model_config:
            raise ReleaseError(
                f"the file of {self.title} stores no configuration of its model: with the model "
                "on this machine the circuit can be run"
            )
        return parse_config(self.model_config, f"the configuration stored with {self.title}")

    @property
    def title(self) -> str:
        return self.circuit.title

    @cached_property
    def edges(self) -> tuple[StoredEdge, ...]:
        """Every nonzero weight between kept nodes; biases are never among them."""
        return tuple(edge for matrix in self.edge_matrices for edge in matrix.edges)

    def node_delta(self, node: Node) -> float:
        """How much the loss rises when ``node`` is ablated too, in nats per sequence.

        Raises ReleaseError where the file does not store it.
        """
        if node not in self.node_losses or math.isnan(self.circuit_loss):
            raise ReleaseError(
                f"the file of {self.title} does not store what {node} costs: with the model on "
                "this machine it is computed"
            )
        return self.node_losses[node] - self.circuit_loss

    def block_delta(self, block: str) -> float:
        """How much the loss rises when a whole block such as ``3.mlp`` is ablated too."""
        return self.block_losses[block] - self.circuit_loss
