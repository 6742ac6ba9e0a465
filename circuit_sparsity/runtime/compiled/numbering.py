"""Numbers for what a compiled circuit computes: locations, nodes, residual channels."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.core.model import GPTConfig
from circuit_sparsity.core.names import FINAL_RESID, Location, Node, circuit_locations


@dataclass(frozen=True, eq=False)
class Numbering:
    """The order of a circuit's parts: as computed."""

    circuit: Circuit
    config: GPTConfig

    @cached_property
    def places(self) -> tuple[Location, ...]:
        return circuit_locations(self.config.n_layer)

    @cached_property
    def place(self) -> dict[Location, int]:
        return {location: i for i, location in enumerate(self.places)}

    @cached_property
    def node(self) -> dict[Node, int]:
        return {node: i for i, node in enumerate(self.circuit.node_list)}

    @cached_property
    def node_from(self) -> np.ndarray:
        counts = [len(self.kept(location)) for location in self.places]
        return np.cumsum([0, *counts])

    def kept(self, location: Location) -> tuple[int, ...]:
        """The kept channels of a location."""
        return self.circuit.nodes.get(location, ())

    def nodes_at(self, location: Location) -> np.ndarray:
        """The numbers of a location's nodes."""
        i = self.place[location]
        return np.arange(self.node_from[i], self.node_from[i + 1])

    def is_live(self, location: Location) -> bool:
        """Whether an answer can depend on it: its block writes something that is kept."""
        if location == FINAL_RESID:
            return True
        return bool(self.kept(Location(location.layer, location.block, "resid_delta")))

    @cached_property
    def reads(self) -> tuple[Location, ...]:
        """Where the residual stream is read: attention and MLP of each layer, and its end."""
        return tuple(location for location in self.places if location.reads_residual)

    @cached_property
    def _first_write(self) -> dict[int, int]:
        """Residual channels that kept nodes write to, and where they first do, in that order."""
        first: dict[int, int] = {}
        for location, channels in self.circuit.nodes.items():
            if location.writes_residual:
                for channel in channels:
                    first.setdefault(channel, self.place[location])
        return first

    @cached_property
    def is_whole(self) -> bool:
        """Whether every residual channel can vary, and not only those that kept nodes write to.

        So it is where what is kept of one hangs on the others: behind a top-k of the stream, and
        where a top-k compares what LayerNorm has shifted.
        """
        cut = set(self.config.top_k_places) if self.config.afrac is not None else set()
        shifted = {"attn_in", "mlp_in"} if not self.config.rms_norm else set()
        return bool(cut & ({"resid_post_attn", "resid_post_mlp"} | shifted))

    @cached_property
    def slots(self) -> dict[int, int]:
        """Residual channels that kept nodes write or read, in order of their first write.

        All channels, where all can vary.
        """
        channels = dict.fromkeys(self._first_write)
        for location, kept in self.circuit.nodes.items():
            if location.reads_residual:
                channels |= dict.fromkeys(c for c in kept if c < self.config.d_model)
        if self.is_whole:
            channels |= dict.fromkeys(range(self.config.d_model))
        return {channel: slot for slot, channel in enumerate(channels)}

    @cached_property
    def varying(self) -> dict[Location, int]:
        """For each read, how many of the slots are not what the token alone makes of them."""
        if self.is_whole:
            return dict.fromkeys(self.reads, self.config.d_model)
        writes = list(self._first_write.values())
        return {read: sum(at < self.place[read] for at in writes) for read in self.reads}

    @cached_property
    def switch(self) -> int:
        """The last layer whose attention carries something kept between tokens; -1 for none."""
        mixes = [
            layer
            for layer in range(self.config.n_layer)
            if self.is_live(Location(layer, "attn", "v"))
            and any(self.kept(Location(layer, "attn", kind)) for kind in "kv")
        ]
        return max(mixes, default=-1)
