"""``Circuit``: the value that files, pruner, executor, graph and pages all speak."""

# torch does not type Tensor.tolist
# pyright: reportUnknownMemberType=false

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import cast

import torch
from jaxtyping import Bool
from torch import Tensor

from circuit_sparsity.circuits.found import Found
from circuit_sparsity.core.model import GPTConfig
from circuit_sparsity.core.names import Location, Node, circuit_locations


@dataclass(frozen=True)
class Circuit:
    """The kept nodes of one model on one task, and how they were found.

    ``nodes`` has every location of the model as a key, in order of computation; the order of
    channels is that of the file it came from. Everything that is not kept runs at its mean.
    """

    nodes: Mapping[Location, tuple[int, ...]]
    model: str
    task: str
    sweep: str
    k: str  # the folder's name: a number, k_optim, or a name such as k104_seed1
    found: Found = Found()
    means_hash: str = ""  # of the reference means it was found with; empty when unknown

    def __post_init__(self) -> None:
        for location, channels in self.nodes.items():
            if len(set(channels)) != len(channels):
                raise ValueError(f"{location} lists a channel twice: {sorted(channels)}")
        ordered = dict(sorted(self.nodes.items()))
        object.__setattr__(self, "nodes", MappingProxyType(ordered))

    @property
    def size(self) -> int:
        """Number of nodes."""
        return sum(map(len, self.nodes.values()))

    @cached_property
    def node_list(self) -> tuple[Node, ...]:
        """The nodes in order of computation, then as listed."""
        return tuple(
            Node(location, channel) for location, kept in self.nodes.items() for channel in kept
        )

    @cached_property
    def _kept(self) -> frozenset[Node]:
        return frozenset(self.node_list)

    def keeps(self, node: Node) -> bool:
        return node in self._kept

    def require(self, nodes: Iterable[Node]) -> tuple[Node, ...]:
        """``nodes`` as a tuple; ValueError names those that the circuit does not keep."""
        nodes = tuple(nodes)
        strange = [str(node) for node in nodes if node not in self._kept]
        if strange:
            raise ValueError(
                f"the circuit {self.title} does not keep {', '.join(strange)}; it has {self.size} "
                f"nodes, such as {', '.join(map(str, self.node_list[:3]))}"
            )
        return nodes

    @property
    def title(self) -> str:
        return f"{self.model} · {self.task} · {self.sweep} · {self.k}"

    def without(self, nodes: Iterable[Node]) -> "Circuit":
        """The circuit less ``nodes``."""
        gone = set(self.require(nodes))
        return replace(
            self,
            nodes={
                location: tuple(c for c in kept if Node(location, c) not in gone)
                for location, kept in self.nodes.items()
            },
        )

    def with_nodes(self, nodes: Iterable[Node]) -> "Circuit":
        """The circuit and ``nodes``; those it keeps already stay where they are."""
        more: dict[Location, tuple[int, ...]] = dict(self.nodes)
        for node in dict.fromkeys(nodes):
            if node not in self._kept:
                more[node.location] = (*more.get(node.location, ()), node.channel)
        return replace(self, nodes=more)

    def masks(self, config: GPTConfig) -> dict[Location, Bool[Tensor, " width"]]:
        """For each location of the model, which channels run; ValueError when one is too large."""
        return masks(self.nodes, config)


def masks(
    nodes: Mapping[Location, Iterable[int]], config: GPTConfig
) -> dict[Location, Bool[Tensor, " width"]]:
    """Boolean masks over every location of a model of shape ``config``, True where kept."""
    places = circuit_locations(config.n_layer)
    strange = [str(location) for location in nodes if location not in places]
    if strange:
        raise ValueError(
            f"the model has {config.n_layer} layers; the circuit names {', '.join(strange)}: "
            "it belongs to another model"
        )
    found: dict[Location, Bool[Tensor, " width"]] = {}
    for location in places:
        mask = torch.zeros(config.width(location), dtype=torch.bool)
        channels = list(nodes.get(location, ()))
        if channels and not 0 <= min(channels) <= max(channels) < len(mask):
            raise ValueError(
                f"{location} has channels 0 to {len(mask) - 1}; the circuit names "
                f"{max(channels)}: it belongs to another model"
            )
        mask[channels] = True
        found[location] = mask
    return found


def total_nodes(config: GPTConfig) -> int:
    """How many nodes the model has: position channels and ``final_resid`` counted."""
    return sum(config.width(location) for location in circuit_locations(config.n_layer))


def from_masks(found: Mapping[Location, Bool[Tensor, " width"]]) -> dict[Location, tuple[int, ...]]:
    """The ``nodes`` of a circuit from masks."""
    nodes: dict[Location, tuple[int, ...]] = {}
    for location, mask in found.items():
        channels = cast(list[int], mask.nonzero().flatten().tolist())
        nodes[location] = tuple(channels)
    return nodes
