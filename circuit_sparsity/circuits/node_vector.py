"""All nodes of a model in one vector: what belongs to which location, and back."""

from collections.abc import Mapping
from functools import cached_property

import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor

from circuit_sparsity.circuits.circuit import from_masks
from circuit_sparsity.core.model import GPTConfig
from circuit_sparsity.core.names import Location, Node, circuit_locations


class Layout:
    """Where each location's channels stand in a vector over the nodes, in order of computation."""

    def __init__(self, config: GPTConfig) -> None:
        self.config = config
        self.locations = circuit_locations(config.n_layer)
        self.widths = [config.width(location) for location in self.locations]
        self.size = sum(self.widths)

    def views(self, vector: Shaped[Tensor, " node"]) -> dict[str, Shaped[Tensor, " width"]]:
        """The part of ``vector`` at each location, by the name under which the model hooks it."""
        return dict(zip(self._names, torch.split(vector, self.widths), strict=True))

    def split(self, vector: Shaped[Tensor, " node"]) -> dict[Location, Shaped[Tensor, " width"]]:
        return dict(zip(self.locations, torch.split(vector, self.widths), strict=True))

    def join(self, parts: Mapping[Location, Shaped[Tensor, " width"]]) -> Shaped[Tensor, " node"]:
        return torch.cat([parts[location] for location in self.locations])

    def nodes(self, kept: Bool[Tensor, " node"]) -> dict[Location, tuple[int, ...]]:
        """The ``nodes`` of a circuit."""
        return from_masks(self.split(kept.cpu()))

    def first(self, order: Int[Tensor, " node"], n: int) -> Bool[Tensor, " node"]:
        """True at the first ``n`` nodes of ``order``."""
        kept = torch.zeros(self.size, dtype=torch.bool)
        kept[order[:n]] = True
        return kept

    def index(self, node: Node) -> int:
        """Where ``node`` stands in the vector."""
        place = self.locations.index(node.location)
        return sum(self.widths[:place]) + node.channel

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return tuple(map(str, self.locations))
