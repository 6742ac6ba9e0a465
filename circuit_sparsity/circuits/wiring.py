"""A circuit's joins seen from its nodes: who feeds a node, whom it feeds, and by what."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.circuits.edges import Edge, Link, attention_links, edges, residual_links
from circuit_sparsity.core.model import GPT
from circuit_sparsity.core.names import Node

By = Literal["weight", "residual stream", "attention"]


@dataclass(frozen=True)
class Neighbour:
    """A node at the other end of a join."""

    node: Node
    by: By
    weight: float | None = None  # of the edge; links have none


@dataclass(frozen=True)
class Wiring:
    """Every edge and link between the nodes of one circuit."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    residual: tuple[Link, ...]
    attention: tuple[Link, ...]

    def into(self, node: Node) -> tuple[Neighbour, ...]:
        """What feeds ``node``: edges from the strongest weight down, then links."""
        return self._into.get(node, ())

    def out_of(self, node: Node) -> tuple[Neighbour, ...]:
        """What ``node`` feeds: edges from the strongest weight down, then links."""
        return self._out_of.get(node, ())

    def edge_between(self, one: Node, other: Node) -> Edge | None:
        """The edge that joins two nodes, whichever way it leads."""
        return self._joining.get(frozenset((one, other)))

    @cached_property
    def _joining(self) -> Mapping[frozenset[Node], Edge]:
        return {frozenset((edge.source, edge.target)): edge for edge in self.edges}

    @cached_property
    def _into(self) -> Mapping[Node, tuple[Neighbour, ...]]:
        return _gather((join.target, join.source, by, weight) for join, by, weight in self._all)

    @cached_property
    def _out_of(self) -> Mapping[Node, tuple[Neighbour, ...]]:
        return _gather((join.source, join.target, by, weight) for join, by, weight in self._all)

    @cached_property
    def _all(self) -> list[tuple[Edge | Link, By, float | None]]:
        return [
            *((edge, "weight", edge.weight) for edge in self.edges),
            *((link, "residual stream", None) for link in self.residual),
            *((link, "attention", None) for link in self.attention),
        ]


def wiring(circuit: Circuit, model: GPT) -> Wiring:
    """The edges and links of ``circuit`` in ``model``."""
    return Wiring(
        circuit.node_list,
        edges(circuit, model),
        residual_links(circuit),
        attention_links(circuit, model.config.d_head),
    )


def _gather(
    joins: Iterable[tuple[Node, Node, By, float | None]],
) -> dict[Node, tuple[Neighbour, ...]]:
    found: dict[Node, list[Neighbour]] = defaultdict(list)
    for here, there, by, weight in joins:
        found[here].append(Neighbour(there, by, weight))
    return {node: tuple(sorted(near, key=_rank)) for node, near in found.items()}


def _rank(neighbour: Neighbour) -> tuple[bool, float, Node]:
    return (neighbour.weight is None, -abs(neighbour.weight or 0.0), neighbour.node)
