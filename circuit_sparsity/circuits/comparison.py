"""Two circuits side by side: which nodes and edges they share, and which only one of them has."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeVar, get_args

from circuit_sparsity.circuits.edges import Edge, Link
from circuit_sparsity.circuits.wiring import Wiring
from circuit_sparsity.core.names import Node

Membership = Literal["both", "only A", "only B"]
MEMBERSHIPS: tuple[Membership, ...] = get_args(Membership)
Join = TypeVar("Join", Edge, Link)
_Ends = tuple[Node, Node]


@dataclass(frozen=True)
class Comparison:
    """Circuits A and B in models of one shape. An edge is the same when it joins the same nodes."""

    a: Wiring
    b: Wiring

    @cached_property
    def union(self) -> Wiring:
        """All nodes and joins of either. What they share has the weights of A.

        A weight between a node of only A and one of only B is in neither circuit, and not here.
        """
        return Wiring(
            tuple(sorted({*self.a.nodes, *self.b.nodes})),
            _either(self.a.edges, self.b.edges),
            _either(self.a.residual, self.b.residual),
            _either(self.a.attention, self.b.attention),
        )

    @cached_property
    def membership(self) -> dict[Node | _Ends, Membership]:
        """Of every node, and of every edge by its two ends."""
        a = {*self.a.nodes, *map(ends, self.a.edges)}
        b = {*self.b.nodes, *map(ends, self.b.edges)}
        return {
            part: "both" if part in a and part in b else "only A" if part in a else "only B"
            for part in a | b
        }

    def nodes(self, wanted: Membership) -> tuple[Node, ...]:
        """In order of computation."""
        return tuple(node for node in self.union.nodes if self.membership[node] == wanted)

    def edges(self, wanted: Membership) -> tuple[Edge, ...]:
        return tuple(edge for edge in self.union.edges if self.membership[ends(edge)] == wanted)

    @property
    def node_overlap(self) -> float:
        """Jaccard: shared nodes over all nodes of either; 1 for two empty circuits."""
        return _share(len(self.nodes("both")), len(self.union.nodes))

    @property
    def edge_overlap(self) -> float:
        """Jaccard of the edges."""
        return _share(len(self.edges("both")), len(self.union.edges))


def ends(join: Edge | Link) -> _Ends:
    """The two nodes that it joins: the same edge in two models has two weights."""
    return join.source, join.target


def _either(a: Iterable[Join], b: Iterable[Join]) -> tuple[Join, ...]:
    found = {ends(join): join for join in b} | {ends(join): join for join in a}
    return tuple(found[key] for key in sorted(found))


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0
