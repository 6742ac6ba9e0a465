"""Two circuits in one graph, in the layout of both; three marks that differ without colour."""

from collections.abc import Sequence
from dataclasses import replace
from html import escape
from typing import Any

from plotly.graph_objects import Figure

from circuit_sparsity.circuits.comparison import MEMBERSHIPS, Comparison, Membership
from circuit_sparsity.circuits.edges import Edge
from circuit_sparsity.core.model import GPTConfig
from circuit_sparsity.core.names import Node
from circuit_sparsity.plots.colours import Palette
from circuit_sparsity.plots.graph import circuit_figure
from circuit_sparsity.plots.layout import GraphLayout, lay_out
from circuit_sparsity.plots.marks import SYMBOLS
from circuit_sparsity.plots.words import place_in_words

# Full, hollow, hollow with a dot: the shape itself says at what kind of place a node is.
_MARKS: dict[Membership, str] = {"both": "", "only A": "-open", "only B": "-open-dot"}
_DASHES: dict[Membership, str] = {"both": "solid", "only A": "dash", "only B": "dot"}


def compare_figure(
    found: Comparison, config: GPTConfig, palette: Palette, names: tuple[str, str] = ("A", "B")
) -> Figure:
    """Shared nodes are full and their edges solid; those of only A hollow and dashed; those of
    only B hollow with a dot and dotted. A click on the legend hides one kind.

    ``names`` are those of A and B, for hovering. Each node's ``customdata`` is its name.
    """
    union = found.union
    joins = [(edge.source, edge.target) for edge in union.edges]
    layout = lay_out(union.nodes, joins, config.d_head)
    figure = circuit_figure(replace(union, edges=()), layout, config, palette)
    inks = _inks(palette)
    lines = [_lines(found.edges(side), side, layout, inks[side]) for side in MEMBERSHIPS]
    marks = [_marks(found, side, layout, config, inks[side], names) for side in MEMBERSHIPS]
    legend = {"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom", "itemsizing": "constant"}
    frame = figure.layout.to_plotly_json()
    frame |= {"showlegend": True, "legend": legend | {"font": {"color": palette.text}}}
    frame["margin"] = frame["margin"] | {"t": 44}
    return Figure(data=[*lines, *marks], layout=frame)


def _inks(palette: Palette) -> dict[Membership, str]:
    return {"both": palette.node, "only A": palette.negative, "only B": palette.positive}


def _marks(
    found: Comparison,
    side: Membership,
    layout: GraphLayout,
    config: GPTConfig,
    ink: str,
    names: tuple[str, str],
) -> dict[str, Any]:
    nodes = found.nodes(side)
    places = [layout.places[node] for node in nodes]
    size = 11 if len(found.union.nodes) <= 160 else 9 if len(found.union.nodes) <= 500 else 7
    return {
        "type": "scatter",
        "mode": "markers",
        "name": f"{side} ({len(nodes)} nodes, {len(found.edges(side))} edges)",
        "legendgroup": side,
        "showlegend": True,
        "x": [round(x, 4) for x, _ in places],
        "y": [y for _, y in places],
        "customdata": list(map(str, nodes)),
        "hovertext": [_hover(node, side, config, names) for node in nodes],
        "hoverinfo": "text",
        "marker": {
            "size": size,
            "symbol": [SYMBOLS[node.location.kind] + _MARKS[side] for node in nodes]
            or f"circle{_MARKS[side]}",  # of an empty side's place in the legend
            "color": ink,
            "line": {"width": 2, "color": ink},
        },
    }


def _hover(node: Node, side: Membership, config: GPTConfig, names: tuple[str, str]) -> str:
    where = {"both": "both", "only A": f"only A: {names[0]}", "only B": f"only B: {names[1]}"}
    return f"<b>{node}</b><br>{place_in_words(node, config)}<br>in {escape(where[side])}"


def _lines(
    edges: Sequence[Edge], side: Membership, layout: GraphLayout, ink: str
) -> dict[str, Any]:
    """One trace with gaps: it goes with its marks when the legend hides them."""
    xs: list[float | None] = []
    ys: list[float | None] = []
    for edge in edges:
        (x0, y0), (x1, y1) = layout.places[edge.source], layout.places[edge.target]
        xs += [round(x0, 4), round(x1, 4), None]
        ys += [y0, y1, None]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": xs,
        "y": ys,
        "legendgroup": side,
        "showlegend": False,
        "hoverinfo": "skip",
        "line": {"width": 1.6, "dash": _DASHES[side], "color": ink},
        "opacity": 0.8,
    }
