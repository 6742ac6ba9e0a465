"""Fold a circuit with its model and means into the arrays that kernels read."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from circuit_sparsity.circuits.edges import bias_of, carried, weights_out_of
from circuit_sparsity.circuits.means import Means
from circuit_sparsity.core.model import GPT
from circuit_sparsity.core.names import FINAL_RESID, Location
from circuit_sparsity.kernels.circuit.tables import (
    BY_KIND,
    BY_NOTHING,
    BY_POSITION,
    ENTRY,
    GELU,
    NO_CODE,
    NODE,
    PLACE,
    RELU,
    ROW,
    Plan,
    records,
)
from circuit_sparsity.runtime.compiled.heads import LayerHeads, fold_heads
from circuit_sparsity.runtime.compiled.masked_run import top_k_place
from circuit_sparsity.runtime.compiled.numbering import Numbering
from circuit_sparsity.runtime.compiled.rows import LocationRows, activate, linear_rows_of
from circuit_sparsity.runtime.compiled.stream import Stream


@dataclass(frozen=True, eq=False)
class FoldedMap:
    """The linear map into a location as a circuit sees it: kept sources vary, others are constant.

    Values reach what is behind them through attention: there, what they add is by head (`heads`).
    """

    model: GPT
    source: Location
    target: Location
    mean: Float[Tensor, " source"]
    kept: tuple[int, ...]  # channels of the source

    @cached_property
    def weights(self) -> Float[Tensor, "target kept"]:
        """From the kept channels of the source to all channels of the target."""
        return weights_out_of(self.model, self.source, self.target, self.kept)

    @property
    def bias(self) -> Float[Tensor, " target"]:
        """Zero in a model without biases."""
        bias = bias_of(self.model, self.target)
        return torch.zeros(self.model.config.width(self.target)) if bias is None else bias

    @property
    def at_means(self) -> Float[Tensor, " target"]:
        """What the map gives where every source is at its mean."""
        return carried(self.model, self.source, self.target, self.mean[None])[0] + self.bias

    @property
    def of_the_rest(self) -> Float[Tensor, " target"]:
        """What the sources that are not kept add at their means, and the bias."""
        rest = self.mean.clone()
        rest[list(self.kept)] = 0.0
        return carried(self.model, self.source, self.target, rest[None])[0] + self.bias


def can_fold(model: GPT) -> bool:
    """Whether the kernels take a model, in float32 on a CPU: others are run in full."""
    weight = model.lm_head.weight
    return weight.device.type == "cpu" and weight.dtype == torch.float32


@dataclass(frozen=True, eq=False)
class Folded:
    """A circuit, its model and means, and what of them can be computed before any prompt."""

    numbering: Numbering
    model: GPT
    means: Means

    @cached_property
    def stream(self) -> Stream:
        return Stream(self.numbering, self.model, self.means)

    @cached_property
    def heads(self) -> tuple[LayerHeads, ...]:
        layers = range(self.model.config.n_layer)
        return tuple(LayerHeads(self.numbering, self.model, self.means, i) for i in layers)

    @cached_property
    def _linear(self) -> dict[Location, tuple[LocationRows, Float[Tensor, " width"] | None]]:
        """Rows of every live location behind a linear map, and the constants of all channels."""
        found = {}
        for location in self.numbering.places:
            if location.reads_residual or not self.numbering.is_live(location):
                continue
            if location.block == "attn" and location.kind == "resid_delta":
                assert location.layer is not None, "a block has a layer"
                found[location] = (self.heads[location.layer].rows(), None)
            elif self.numbering.kept(location):
                found[location] = self._behind(location)
        return found

    def into(self, target: Location) -> FoldedMap:
        """The linear map into ``target``."""
        kind = "v" if target.block == "attn" else "post_act"
        kind = kind if target.kind == "resid_delta" else "act_in"
        source = Location(target.layer, target.block, kind)
        mean = self.means.values[source].float()
        return FoldedMap(self.model, source, target, mean, self.numbering.kept(source))

    def _behind(self, location: Location) -> tuple[LocationRows, Float[Tensor, " width"]]:
        linear = self.into(location)
        constant = linear.at_means
        rows = linear_rows_of(
            linear.weights,
            constant,
            self.numbering.nodes_at(linear.source),
            self.numbering.kept(location),
            self.top(location) >= 0,
        )
        return rows, constant

    def rows(self, location: Location) -> LocationRows:
        return self._linear[location][0]

    def top(self, location: Location) -> int:
        """How many channels of a location survive its top-k; -1 where all do."""
        if location == FINAL_RESID:
            return -1
        width = self.model.config.width(location)
        top = self.model.config.kept(top_k_place(location), width)
        return -1 if top is None or top >= width else top

    def code(self, location: Location) -> int:
        """The activation of a location."""
        if location.kind != "post_act":
            return NO_CODE
        return GELU if self.model.config.activation_type == "gelu" else RELU

    def window_by(self, location: Location) -> int:
        """What the fixed competitors of a location depend on."""
        if location.kind == "act_in":
            return BY_KIND
        is_mixed = location.block == "attn" and location.kind == "resid_delta"
        return BY_POSITION if is_mixed and self.model.config.sink else BY_NOTHING

    def fixed(self, location: Location, positions: int) -> Float[Tensor, "kind fixed"]:
        """Magnitudes of what competes unchanged at a location behind a linear map."""
        rows, constants = self._linear[location]
        if constants is None:
            assert location.layer is not None, "a block has a layer"
            return self.heads[location.layer].fixed_rows(positions).abs()
        return activate(self.code(location), constants[rows.fixed]).abs()[None]

    @cached_property
    def plan(self) -> Plan:
        """The folded circuit; windows, which depend on prompts, are still to come."""
        places, config, stream = self.numbering.places, self.model.config, self.stream
        rows = [self._linear[place][0] if place in self._linear else None for place in places]
        layers, heads, terms, crosses, values = fold_heads(self.heads)
        sparse, entries = _join(rows)
        return Plan(
            places=self._places(rows),
            nodes=self._nodes(rows),
            rows=sparse,
            entries=entries,
            reads=stream.reads,
            channels=stream.per_read_and_slot,
            extra=np.array(stream.extras, dtype=np.int64),
            layers=layers,
            heads=heads,
            terms=terms,
            crosses=crosses,
            values=values,
            windows=np.zeros(0, dtype=np.float32),
            steps=stream.steps,
            slots=len(stream.channels),
            relu=stream.relu,
            kept_after=np.array(stream.kept_after, dtype=np.int64),
            positions=stream.positions,
            width=config.d_model,
            epsilon=stream.epsilon,
            centred=not config.rms_norm,
            scale=self.heads[0].scale,
            has_sink=config.sink,
            outputs=max(layer.n_rows for layer in self.heads),
            switch=self.numbering.switch,
            square=float(stream.rest_of_the_end.square().sum()),
            total=float(stream.rest_of_the_end.sum()),
        )

    def _places(self, rows: list[LocationRows | None]) -> np.ndarray:
        places, of = self.numbering.places, self.numbering
        sizes = [self._size(place, linear) for place, linear in zip(places, rows, strict=True)]
        linear = [0 if part is None else len(part.channels) for part in rows]
        return records(
            PLACE,
            len(places),
            node_from=of.node_from[:-1],
            node_to=of.node_from[1:],
            live=[of.is_live(place) for place in places],
            rows=[size[0] for size in sizes],
            counted=[size[1] for size in sizes],
            top=[self.top(place) for place in places],
            code=[self.code(place) for place in places],
            window_by=[self.window_by(place) for place in places],
            window_width=[size[1] + 2 for size in sizes],
            row_from=np.cumsum([0, *linear])[:-1],
        )

    def _nodes(self, rows: list[LocationRows | None]) -> np.ndarray:
        parts = zip(self.numbering.places, rows, strict=True)
        return records(
            NODE,
            len(self.numbering.node),
            slot=self.stream.slot_of_node,
            row=np.concatenate([self._row_of(place, part) for place, part in parts]),
            mean=self.stream.node_means,
        )

    def _size(self, location: Location, rows: LocationRows | None) -> tuple[int, int]:
        if location.kind == "act_in":
            return self.stream.size(location)
        return (0, 0) if rows is None else (len(rows.channels), rows.counted)

    def _row_of(self, location: Location, rows: LocationRows | None) -> np.ndarray:
        kept = self.numbering.kept(location)
        if location.kind == "act_in":
            return self.stream.row_of(location)
        return np.zeros(len(kept), dtype=np.int64) if rows is None else rows.row_of(kept)


def _join(parts: list[LocationRows | None]) -> tuple[np.ndarray, np.ndarray]:
    """The sparse rows of all locations, one after the other, and their entries."""
    constants, counts = [np.zeros(0)], [np.zeros(0, np.int64)]
    entries = [np.zeros(0, dtype=ENTRY)]
    for part in parts:
        if part is None:
            continue
        row, column = (index.numpy() for index in part.weights.nonzero(as_tuple=True))
        weights = part.weights.detach().numpy()[row, column]
        constants.append(part.constant.detach().numpy())
        counts.append(np.bincount(row, minlength=len(part.channels)))
        entries.append(records(ENTRY, len(row), source=part.sources[column], weight=weights))
    ends = np.cumsum(np.concatenate(counts))
    rows = records(
        ROW,
        len(ends),
        entry_from=ends - np.concatenate(counts),
        entry_to=ends,
        constant=np.concatenate(constants),
    )
    return rows, np.concatenate(entries)
