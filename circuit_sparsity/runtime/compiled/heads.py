"""The heads of all layers as the arrays that kernels read."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from circuit_sparsity.circuits.edges import carried, weights_out_of
from circuit_sparsity.circuits.means import Means
from circuit_sparsity.core.model import GPT
from circuit_sparsity.core.names import Location, Node
from circuit_sparsity.kernels.circuit.tables import (
    CROSS,
    HEAD,
    LAYER,
    MIXING,
    QUERY_ALONE,
    TERM,
    UNIFORM,
    VALUE,
    records,
)
from circuit_sparsity.runtime.compiled.numbering import Numbering
from circuit_sparsity.runtime.compiled.rows import LocationRows, select_rows
from circuit_sparsity.runtime.prefix_cache import block_of


@dataclass(frozen=True, eq=False)
class LayerHeads:
    """The attention of one layer of a circuit."""

    numbering: Numbering
    model: GPT
    means: Means
    layer: int

    def kept(self, kind: str) -> tuple[int, ...]:
        return self.numbering.kept(self._at(kind))

    def _at(self, kind: str) -> Location:
        return Location(self.layer, "attn", kind)

    @property
    def is_live(self) -> bool:
        return bool(self.kept("resid_delta"))

    def mean(self, kind: str) -> Float[Tensor, "head d_head"]:
        config = self.model.config
        mean = self.means.values[self._at(kind)].float()
        return mean.view(config.n_head, config.d_head)

    @cached_property
    def sink(self) -> Float[Tensor, " head"] | None:
        return block_of(self.model, self.layer).attn.sink_logit

    @cached_property
    def score(self) -> Float[Tensor, " head"]:
        """Of two means, scaled."""
        return (self.mean("q") * self.mean("k")).sum(1) * self.scale

    @property
    def scale(self) -> float:
        return 1 / math.sqrt(self.model.config.d_head)

    @cached_property
    def ratio(self) -> Float[Tensor, " head"]:
        """Weight of the sink over that of a token, where scores are those of the means."""
        if self.sink is None:
            return torch.zeros(self.model.config.n_head)
        return (self.sink - self.score).exp()

    @cached_property
    def kinds(self) -> dict[int, int]:
        """The heads that have to be computed, and how."""
        found = {}
        if not self.is_live:
            return found
        for head in range(self.model.config.n_head):
            kind = self._kind(*(self.among(kind, head) for kind in "qkv"))
            if kind is not None:
                found[head] = kind
        return found

    def _kind(
        self, query: tuple[int, ...], key: tuple[int, ...], value: tuple[int, ...]
    ) -> int | None:
        gated = self.sink is not None and bool(query or key)
        if not value and not gated:
            return None
        if not key and not gated:
            return UNIFORM
        return MIXING if key or value else QUERY_ALONE

    def among(self, kind: str, head: int) -> tuple[int, ...]:
        """The kept channels of one head, numbered as in the location."""
        return self._among.get((kind, head), ())

    @cached_property
    def _among(self) -> dict[tuple[str, int], tuple[int, ...]]:
        found: dict[tuple[str, int], tuple[int, ...]] = {}
        for kind in "qkv":
            for channel in self.kept(kind):
                at = (kind, channel // self.model.config.d_head)
                found[at] = (*found.get(at, ()), channel)
        return found

    @cached_property
    def value_row(self) -> dict[int, int]:
        """The row of output of each kept value."""
        return {channel: row for row, channel in enumerate(self.kept("v"))}

    @cached_property
    def gate_row(self) -> dict[int, int]:
        """The row of output with the gate of each head that is computed."""
        return {head: len(self.value_row) + i for i, head in enumerate(self.kinds)}

    @cached_property
    def through_gates(self) -> Float[Tensor, "d_model head"]:
        """What the means of a head's values write where nothing goes to the sink."""
        return self._through_gates(self.mean("v"))

    @cached_property
    def rest_through_gates(self) -> Float[Tensor, "d_model head"]:
        """The same of the values that are not kept."""
        rest = self.mean("v").flatten().clone()
        rest[list(self.kept("v"))] = 0.0
        return self._through_gates(rest.view(self.model.config.n_head, -1))

    def _through_gates(self, values: Float[Tensor, "head d_head"]) -> Float[Tensor, "d_model head"]:
        apart = torch.block_diag(*values)  # head v: the values of one head in each row
        return carried(self.model, self._at("v"), self._at("resid_delta"), apart).T

    @cached_property
    def gated(self) -> tuple[int, ...]:
        """Heads whose gate varies with the content."""
        if self.sink is None:
            return ()
        return tuple(head for head, kind in self.kinds.items() if kind != UNIFORM)

    @cached_property
    def still(self) -> tuple[int, ...]:
        """Heads whose gate depends on the position alone and which a computed row needs."""
        if self.sink is None or not self.is_live:
            return ()
        channels, _, _ = self._selected
        needed = (self.through_gates[channels] != 0).any(dim=0)
        return tuple(h for h in needed.nonzero().flatten().tolist() if h not in self.gated)

    @cached_property
    def _varying(self) -> tuple[Float[Tensor, "d_model source"], list[int]]:
        """Weights of all that varies with the content, and its rows of output."""
        ends = self._at("v"), self._at("resid_delta")
        values = weights_out_of(self.model, *ends, self.kept("v"))
        gates = self.through_gates[:, list(self.gated)]
        numbers = [*self.value_row.values(), *(self.gate_row[head] for head in self.gated)]
        return torch.cat((values, gates), dim=1), numbers

    @cached_property
    def _selected(self) -> tuple[Tensor, int, Tensor]:
        competes = self.top >= 0
        return select_rows((self._varying[0] != 0).any(1), self.kept("resid_delta"), competes)

    @cached_property
    def top(self) -> int:
        """How many channels survive ``attn_out``; -1 where all do."""
        width = self.model.config.d_model
        top = self.model.config.kept("attn_out", width)
        return -1 if top is None or top >= width else top

    def rows(self) -> LocationRows:
        """Rows over what heads give: kept values, gates that vary, gates that are known."""
        channels, counted, fixed = self._selected
        weights, numbers = self._varying
        weights = torch.cat((weights, self.through_gates[:, list(self.still)]), dim=1)
        first = len(self.value_row) + len(self.gate_row)
        numbers = [*numbers, *range(first, first + len(self.still))]
        constant = self._constant[channels]
        sources = np.array(numbers, dtype=np.int64)
        return LocationRows(channels, counted, constant, weights[channels], sources, fixed)

    @property
    def n_rows(self) -> int:
        """Rows of output: values, gates, known gates."""
        return len(self.value_row) + len(self.gate_row) + len(self.still)

    @cached_property
    def _constant(self) -> Float[Tensor, " d_model"]:
        bias = block_of(self.model, self.layer).attn.c_proj.bias
        constant = torch.zeros(self.model.config.d_model) if bias is None else bias
        return constant + self.through_gates.sum(1) if self.sink is None else constant

    def gates(self, count: Float[Tensor, " pos"]) -> Float[Tensor, "head pos"]:
        """The share that does not go to the sink at means, after ``count`` tokens."""
        return count / (count + self.ratio[:, None])

    def fixed_rows(self, positions: int) -> Float[Tensor, "pos fixed"]:
        """Channels that compete unchanged, by position (one row where they do not depend on it)."""
        fixed = self._selected[2]
        if self.sink is None:
            return self._constant[fixed][None]
        gates = self.gates(torch.arange(1.0, positions + 1))  # head pos
        heads = [head for head in range(len(gates)) if head not in self.gated]
        through = self.through_gates[fixed][:, heads]  # fixed head
        return self._constant[fixed] + (through @ gates[heads]).T


def fold_heads(
    layers: tuple[LayerHeads, ...],
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Layers, heads that have to be computed, and their terms, crosses and values."""
    each = [(layer, head) for layer in layers for head in layer.kinds]
    queries = _Ragged(_terms(layer, head, "q", "k") for layer, head in each)
    keys = _Ragged((_terms(layer, head, "k", "q") for layer, head in each), len(queries.pairs))
    values = _Ragged(_values(layer, head) for layer, head in each)
    crosses = _Ragged(_crosses(layer, head) for layer, head in each)
    heads = records(
        HEAD,
        len(each),
        kind=[layer.kinds[head] for layer, head in each],
        query_from=queries.begin,
        query_to=queries.end,
        key_from=keys.begin,
        key_to=keys.end,
        cross_from=crosses.begin,
        cross_to=crosses.end,
        value_from=values.begin,
        value_to=values.end,
        gate_row=[layer.gate_row[head] for layer, head in each],
        score=[float(layer.score[head]) for layer, head in each],
        sink=[0.0 if layer.sink is None else float(layer.sink[head]) for layer, head in each],
        ratio=[float(layer.ratio[head]) for layer, head in each],
    )
    terms = np.array(queries.pairs + keys.pairs, dtype=TERM)
    joined = (np.array(crosses.pairs, dtype=CROSS), np.array(values.pairs, dtype=VALUE))
    return _layers(layers), heads, terms, *joined


def _layers(layers: tuple[LayerHeads, ...]) -> np.ndarray:
    heads = np.cumsum([0, *(len(layer.kinds) for layer in layers)])
    still = np.cumsum([0, *(len(layer.still) for layer in layers)])
    return records(
        LAYER,
        len(layers),
        head_from=heads[:-1],
        head_to=heads[1:],
        still_from=still[:-1],
        still_to=still[1:],
        still_row=[len(layer.value_row) + len(layer.gate_row) for layer in layers],
    )


class _Ragged:
    """Lists put one after the other, and where each begins and ends."""

    def __init__(self, lists: Iterable[list], start: int = 0) -> None:
        kept = list(lists)
        self.pairs = [pair for one in kept for pair in one]
        self.end = start + np.cumsum([len(one) for one in kept], dtype=np.int64)
        self.begin = self.end - np.array([len(one) for one in kept], dtype=np.int64)


def _number(layer: LayerHeads, kind: str, channel: int) -> int:
    return layer.numbering.node[Node(Location(layer.layer, "attn", kind), channel)]


def _terms(layer: LayerHeads, head: int, kind: str, other: str) -> list[tuple[int, float]]:
    """Kept queries (or keys) with what the means of the keys (queries) make of them."""
    weights = layer.mean(other)[head] * layer.scale
    d_head = layer.model.config.d_head
    return [
        (_number(layer, kind, channel), float(weights[channel % d_head]))
        for channel in layer.among(kind, head)
    ]


def _values(layer: LayerHeads, head: int) -> list[tuple[int, int]]:
    return [(_number(layer, "v", c), layer.value_row[c]) for c in layer.among("v", head)]


def _crosses(layer: LayerHeads, head: int) -> list[tuple[int, int]]:
    keys = set(layer.among("k", head))
    both = [channel for channel in layer.among("q", head) if channel in keys]
    return [(_number(layer, "q", c), _number(layer, "k", c)) for c in both]
