"""Attention heads in a circuit's graph: an outline around the queries, keys and values of each."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from circuit_sparsity.core.model import GPTConfig
from circuit_sparsity.core.names import Node
from circuit_sparsity.plots.colours import Palette
from circuit_sparsity.plots.layout import GraphLayout

Head = tuple[int, int]  # layer, number
_AROUND = 0.014  # of the width, at most; half of the gap to the next mark where that is less
_NAME = 0.08  # of the width: what a name takes
_ABOVE = 0.36  # of a row's height
OUTLINE = "head"  # begins the name of each shape


def heads_of(nodes: Iterable[Node], config: GPTConfig) -> Mapping[Head, list[Node]]:
    """The kept query, key and value channels of each head.

    >>> kept = [Node.parse(f"0.attn.{name}") for name in ("q:0", "k:1", "v:17")]
    >>> {head: len(found) for head, found in heads_of(kept, GPTConfig(d_head=16)).items()}
    {(0, 0): 2, (0, 1): 1}
    """
    found: dict[Head, list[Node]] = {}
    for node in nodes:
        if node.location.kind in ("q", "k", "v"):
            layer = node.location.layer
            assert layer is not None
            found.setdefault((layer, node.channel // config.d_head), []).append(node)
    return found


def outlines(
    nodes: Sequence[Node], layout: GraphLayout, config: GPTConfig, palette: Palette
) -> list[dict[str, Any]]:
    """A shape for each head; nothing of a head with one channel."""
    return [
        {
            "type": "path",
            "name": f"{OUTLINE} {layer}.{number}",
            "path": _around(inside, nodes, layout),
            "xref": "x",
            "yref": "y",
            "layer": "below",
            "line": {"width": 1, "color": palette.attention},
            "fillcolor": palette.attention,
            "opacity": 0.16,
        }
        for (layer, number), inside in sorted(heads_of(nodes, config).items())
        if len(inside) > 1
    ]


def names(
    nodes: Sequence[Node], layout: GraphLayout, config: GPTConfig, palette: Palette
) -> list[dict[str, Any]]:
    """The number of each head with an outline, left of its uppermost row where there is room."""
    found = []
    for (_, number), inside in sorted(heads_of(nodes, config).items()):
        top = max(layout.places[node][1] for node in inside)
        left = min(layout.places[node][0] for node in inside if layout.places[node][1] == top)
        row = (x for x, y in layout.places.values() if y == top and x < left)
        has_room = left > _NAME and left - max(row, default=0.0) > _NAME
        if len(inside) > 1 and has_room:
            found.append(
                {
                    "text": f"head {number}",
                    "x": left - _AROUND,
                    "y": top,
                    "xanchor": "right",
                    "yanchor": "middle",
                    "showarrow": False,
                    "font": {"color": palette.faint, "size": 10},
                }
            )
    return found


def _around(inside: Sequence[Node], nodes: Sequence[Node], layout: GraphLayout) -> str:
    """Row by row as wide as the head is there, so that neighbouring heads keep apart."""
    rows: dict[float, list[float]] = {}
    for node in inside:
        x, y = layout.places[node]
        rows.setdefault(y, []).append(x)
    left, right = [], []
    for y, xs in sorted(rows.items()):
        air = _air(y, xs, inside, nodes, layout)
        left += [(min(xs) - air, y - _ABOVE), (min(xs) - air, y + _ABOVE)]
        right += [(max(xs) + air, y - _ABOVE), (max(xs) + air, y + _ABOVE)]
    corners = [*left, *reversed(right)]
    return "M" + "L".join(f"{x:.4f},{y:.2f}" for x, y in corners) + "Z"


def _air(
    y: float,
    xs: Sequence[float],
    inside: Sequence[Node],
    nodes: Sequence[Node],
    layout: GraphLayout,
) -> float:
    others = {layout.places[n] for n in nodes} - {layout.places[n] for n in inside}
    gaps = [min(abs(x - at) for at in (min(xs), max(xs))) for x, row in others if row == y]
    return min([_AROUND, *(gap / 2 for gap in gaps)])
