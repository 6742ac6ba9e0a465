"""Where each node of a circuit stands: one row a location, one column a residual channel.

Rows go from the first read at the bottom to ``final_resid`` at the top. A residual channel has one
column all the way up, so that a link through the residual stream is close to a vertical line;
heads and neurons stand where the columns they read and write pull them. Nothing is random: the
same nodes and joins give the same picture.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from jaxtyping import Float, Int, Real

from circuit_sparsity.core.names import Location, Node

Join = tuple[Node, Node]
_Group = tuple[str, int, int]  # what shares a column: a residual channel, a head, a neuron

_GAP = 0.035  # between neighbours in a row, as a share of the width, while there is room
_WIDE_GAP, _WIDE_ROW = 0.1, 0.6  # in rows off the residual stream: at most, and all gaps together
_SWEEPS = 30
_AROUND_ROW = 0.6  # of a row's height, to the end of its block
_BETWEEN_BANDS = 0.5


@dataclass(frozen=True)
class Row:
    """One location of the circuit that has nodes."""

    location: Location
    y: float


@dataclass(frozen=True)
class Band:
    """The rows of one block, with some air above and below."""

    name: str  # "3.mlp"
    bottom: float
    top: float
    rows: int


@dataclass(frozen=True)
class GraphLayout:
    """Positions: x from 0 to 1, y in rows from 0 upwards."""

    places: Mapping[Node, tuple[float, float]]
    rows: tuple[Row, ...]
    bands: tuple[Band, ...]

    @property
    def height(self) -> float:
        """In rows, gaps between blocks counted."""
        return self.bands[-1].top - self.bands[0].bottom if self.bands else 0.0


def lay_out(nodes: Iterable[Node], joins: Iterable[Join], d_head: int) -> GraphLayout:
    """Positions for ``nodes``, columns ordered so that ``joins`` cross little."""
    nodes = sorted(set(nodes))
    columns = _columns(nodes, joins, d_head)
    rows, bands = _rows(nodes)
    places: dict[Node, tuple[float, float]] = {}
    for row in rows:
        here = [node for node in nodes if node.location == row.location]
        here.sort(key=lambda node: (columns[_group(node, d_head)], node))
        wanted = [columns[_group(node, d_head)] for node in here]
        for node, x in zip(here, spread(wanted, _gap(row.location, len(here))), strict=True):
            places[node] = (x, row.y)
    return GraphLayout(places, rows, bands)


def _gap(location: Location, nodes: int) -> float:
    """Heads and neurons crowd in the middle of what they join: few of them get more room."""
    if location.reads_residual or location.writes_residual:
        return _GAP  # the columns of residual channels are evenly spaced already
    return min(max(_WIDE_ROW / nodes, _GAP), _WIDE_GAP)


def _group(node: Node, d_head: int) -> _Group:
    location = node.location
    if location.reads_residual or location.writes_residual:
        return ("residual", 0, node.channel)
    assert location.layer is not None
    if location.kind == "post_act":
        return ("neuron", location.layer, node.channel)
    return ("head", location.layer, node.channel // d_head)


def _columns(nodes: Sequence[Node], joins: Iterable[Join], d_head: int) -> dict[_Group, float]:
    """A place in 0..1 for each group, by repeated barycentres of what it is joined to.

    Residual channels are put in order of their barycentres and spaced evenly; heads and neurons
    stand at theirs. Every join has a residual channel at one end.
    """
    groups = sorted({_group(node, d_head) for node in nodes})
    index = {group: i for i, group in enumerate(groups)}
    residual = np.array([group[0] == "residual" for group in groups], dtype=bool)
    pairs = [(index[_group(a, d_head)], index[_group(b, d_head)]) for a, b in joins]
    pairs = [(a, b) if residual[a] else (b, a) for a, b in pairs if residual[a] != residual[b]]
    ends = np.array(pairs, dtype=int).reshape(-1, 2)
    x = np.full(len(groups), 0.5)
    x[residual] = _even(np.arange(residual.sum()))
    for _ in range(_SWEEPS):
        inner = _barycentres(ends[:, 1], x[ends[:, 0]], x)
        x[~residual] = inner[~residual]
        outer = _barycentres(ends[:, 0], x[ends[:, 1]], x)
        x[residual] = _even(outer[residual])
    return dict(zip(groups, x.tolist(), strict=True))


def _barycentres(
    at: Int[np.ndarray, " join"], of: Float[np.ndarray, " join"], other: Float[np.ndarray, " group"]
) -> Float[np.ndarray, " group"]:
    """Mean of ``of`` over each index of ``at``; ``other`` where an index never occurs."""
    count = np.bincount(at, minlength=len(other))
    total = np.bincount(at, weights=of, minlength=len(other))
    return np.where(count > 0, total / np.maximum(count, 1), other)


def _even(values: Real[np.ndarray, " group"]) -> Float[np.ndarray, " group"]:
    """Ranks of ``values``, ties in the order given, spread evenly over 0..1."""
    ranks = np.empty(len(values))
    ranks[np.argsort(values, kind="stable")] = np.arange(len(values))
    return (ranks + 0.5) / max(len(values), 1)


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """The places nearest to ``wanted`` (sorted) that keep their order and a gap, inside 0..1.

    Least squares under the gap: isotonic regression by pooling adjacent violators. When there is
    no room for ``gap``, neighbours are spaced evenly.

    >>> [round(x, 2) for x in spread([0.5, 0.5, 0.9], 0.1)]
    [0.45, 0.55, 0.9]
    """
    gap = min(gap, 1 / max(len(wanted), 1))
    pools: list[tuple[float, int]] = []  # mean, size
    for i, place in enumerate(wanted):
        mean, size = place - i * gap, 1
        while pools and pools[-1][0] > mean:
            before, n = pools.pop()
            mean, size = (mean * size + before * n) / (size + n), size + n
        pools.append((mean, size))
    flat = [mean for mean, size in pools for _ in range(size)]
    most = 1 - (len(wanted) - 1) * gap
    return [min(max(mean, 0.0), most) + i * gap for i, mean in enumerate(flat)]


def _rows(nodes: Sequence[Node]) -> tuple[tuple[Row, ...], tuple[Band, ...]]:
    rows: list[Row] = []
    bands: list[Band] = []
    for name, places in groupby(sorted({node.location for node in nodes}), _block_name):
        bottom = bands[-1].top + _BETWEEN_BANDS if bands else -_AROUND_ROW
        here = [Row(place, bottom + _AROUND_ROW + i) for i, place in enumerate(places)]
        bands.append(Band(name, bottom, here[-1].y + _AROUND_ROW, len(here)))
        rows += here
    return tuple(rows), tuple(bands)


def _block_name(location: Location) -> str:
    return location.block_name
