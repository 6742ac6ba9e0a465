"""The heads of all layers as the arrays that kernels read."""

from collections.abc import Iterable

import numpy as np

from circuit_sparsity.circuits.compiled.attention import LayerHeads
from circuit_sparsity.circuits.compiled.kernels.tables import (
    CROSS,
    HEAD,
    LAYER,
    TERM,
    VALUE,
    records,
)
from circuit_sparsity.names import Location, Node


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
