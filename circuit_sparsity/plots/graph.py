"""The whole circuit as one Plotly figure: rows by location, edges by sign and strength."""

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from plotly.graph_objects import Figure

from circuit_sparsity.circuits.edges import Edge, Link
from circuit_sparsity.circuits.wiring import Wiring
from circuit_sparsity.model import GPTConfig
from circuit_sparsity.names import Location, Node
from circuit_sparsity.plots.colours import Palette
from circuit_sparsity.plots.layout import Band, Layout, Row
from circuit_sparsity.plots.words import ROW_LABELS, block_label, place_in_words, signed

# One path a bin and sign: 4,000 edges draw in 0.14 s, one shape an edge takes 2.6 s.
BINS = 8
SYMBOLS = {
    "act_in": "triangle-up",
    "q": "diamond",
    "k": "diamond",
    "v": "diamond",
    "resid_delta": "square",
    "post_act": "circle",
    "final_resid": "star",
}
# A point that is always in a selection set from outside and never on the screen: with it, a plain
# click on the one picked node still changes the selection, so that the click is reported.
ANCHOR = "anchor"

CLICKABLE_EDGES = 1500  # more points than that make the figure slow to draw

Part = Node | Edge

_ROW_PIXELS = 22


def circuit_figure(
    wiring: Wiring,
    layout: Layout,
    config: GPTConfig,
    palette: Palette,
    picked: Collection[Part] = (),
) -> Figure:
    """The circuit, blocks from bottom to top; each point's ``customdata`` is its node's name.

    In the middle of each edge is a point that is seen only when it is picked; its ``customdata``
    is the edge as ``source>target``. Circuits of more than `CLICKABLE_EDGES` edges have none.

    The figure depends on ``picked`` only where a selection has to be set from outside; clicks
    restyle it in the browser.
    """
    strongest = max((abs(edge.weight) for edge in wiring.edges), default=0.0)
    shapes = [
        *_bands(layout, palette),
        *_links(wiring.residual, layout, palette.residual, "dot"),
        *_links(wiring.attention, layout, palette.attention, "dashdot"),
        *_edges(wiring.edges, layout, palette, strongest),
    ]
    return Figure(
        data=[
            _markers(wiring, layout, config, palette, picked),
            _middles(wiring.edges, layout, palette, picked),
        ],
        layout=_frame(layout, palette) | {"shapes": shapes},
    )


def strength_bin(weight: float, strongest: float) -> int:
    """0 for the weakest eighth of the square-root scale up to ``BINS - 1`` for the strongest.

    >>> strength_bin(-1.0, 1.0), strength_bin(0.0001, 1.0), strength_bin(0.25, 1.0)
    (7, 0, 4)
    """
    if strongest == 0:
        return 0
    return min(int(math.sqrt(abs(weight) / strongest) * BINS), BINS - 1)


def _edges(
    edges: Sequence[Edge], layout: Layout, palette: Palette, strongest: float
) -> list[dict[str, Any]]:
    bins: dict[tuple[int, bool], list[Edge]] = defaultdict(list)
    for edge in edges:
        bins[strength_bin(edge.weight, strongest), edge.weight > 0].append(edge)
    ink = 1.0 if len(edges) <= 400 else 0.75 if len(edges) <= 1000 else 0.5
    return [
        _path(
            members,
            layout,
            color=palette.positive if positive else palette.negative,
            width=round((0.8 + 3.2 * strength / (BINS - 1)) * ink, 2),
            dash="solid" if positive else "5px,3px",
            opacity=round((0.45 + 0.5 * strength / (BINS - 1)) * ink, 2),
        )
        for (strength, positive), members in sorted(bins.items())
    ]


def _links(
    links: Sequence[Link], layout: Layout, colour: str, dash: str
) -> Iterable[dict[str, Any]]:
    if links:
        yield _path(links, layout, color=colour, width=1, dash=dash, opacity=0.8)


def _path(
    joins: Sequence[Edge | Link], layout: Layout, opacity: float, **line: Any
) -> dict[str, Any]:
    steps = []
    for join in joins:
        (x0, y0), (x1, y1) = layout.places[join.source], layout.places[join.target]
        steps.append(f"M{x0:.4f},{y0:.2f}L{x1:.4f},{y1:.2f}")
    return {"type": "path", "path": "".join(steps), "line": line, "opacity": opacity} | _BELOW


_BELOW = {"layer": "below", "xref": "x", "yref": "y"}


def _bands(layout: Layout, palette: Palette) -> list[dict[str, Any]]:
    return [
        {
            "type": "rect",
            "xref": "paper",
            "yref": "y",
            "x0": 0,
            "x1": 1,
            "y0": band.bottom,
            "y1": band.top,
            "fillcolor": palette.band,
            "line": {"width": 0},
            "layer": "below",
        }
        for band in layout.bands
    ]


def _markers(
    wiring: Wiring,
    layout: Layout,
    config: GPTConfig,
    palette: Palette,
    picked: Collection[Part],
) -> dict[str, Any]:
    nodes = wiring.nodes
    size = 11 if len(nodes) <= 160 else 9 if len(nodes) <= 500 else 7
    places = [layout.places[node] for node in nodes]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [round(x, 4) for x, _ in places] + [None],
        "y": [y for _, y in places] + [None],
        "customdata": [*map(str, nodes), ANCHOR],
        "hovertext": [*(_hover(node, wiring, config) for node in nodes), ""],
        "hoverinfo": "text",
        "selectedpoints": _selected(nodes, picked),
        "marker": {
            "size": size,
            "symbol": [*(SYMBOLS[node.location.kind] for node in nodes), "circle"],
            "color": palette.node,
            "opacity": 1,
            "line": {"width": 1, "color": palette.background},
        },
        "selected": {"marker": {"color": palette.ablated, "size": size + 7, "opacity": 1}},
        "unselected": {"marker": {"opacity": 0.75}},
    }


def _selected(nodes: Sequence[Node], picked: Collection[Part]) -> list[int] | None:
    if not picked:
        return None
    return [*(i for i, node in enumerate(nodes) if node in picked), len(nodes)]


def _middles(
    edges: Sequence[Edge], layout: Layout, palette: Palette, picked: Collection[Part]
) -> dict[str, Any]:
    """Points on the edges to click on: lines between marks cannot be clicked themselves."""
    edges = edges if len(edges) <= CLICKABLE_EDGES else ()
    ends = [(layout.places[edge.source], layout.places[edge.target]) for edge in edges]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [round((x0 + x1) / 2, 4) for (x0, _), (x1, _) in ends],
        "y": [round((y0 + y1) / 2, 3) for (_, y0), (_, y1) in ends],
        "customdata": list(map(str, edges)),
        "hovertext": [
            f"<b>edge</b> {edge.source}<br>to {edge.target}<br>weight {signed(edge.weight)}"
            for edge in edges
        ],
        "hoverinfo": "text",
        "selectedpoints": [i for i, edge in enumerate(edges) if edge in picked],
        "marker": {"size": 9, "symbol": "x", "opacity": 0},
        "selected": {"marker": {"opacity": 1, "color": palette.ablated, "size": 14}},
        "unselected": {"marker": {"opacity": 0}},
    }


def _hover(node: Node, wiring: Wiring, config: GPTConfig) -> str:
    into, out_of = wiring.into(node), wiring.out_of(node)
    weights = [sum(near.by == "weight" for near in side) for side in (into, out_of)]
    links = [len(into) - weights[0], len(out_of) - weights[1]]
    return (
        f"<b>{node}</b><br>{place_in_words(node, config)}<br>"
        f"edges: {weights[0]} in, {weights[1]} out · links: {links[0]} in, {links[1]} out"
    )


def _frame(layout: Layout, palette: Palette) -> dict[str, Any]:
    bottom, top = (layout.bands[0].bottom, layout.bands[-1].top) if layout.bands else (0, 1)
    pitch = _ROW_PIXELS if len(layout.places) <= 400 else 1.5 * _ROW_PIXELS
    hidden = {"showgrid": False, "zeroline": False, "showline": False, "ticks": ""}
    return {
        "height": round(min(max(layout.height * pitch, 340), 1500)) + 34,
        "margin": {"l": 78, "r": 4, "t": 30, "b": 4},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "showlegend": False,
        "hovermode": "closest",
        "hoverlabel": {
            "align": "left",
            "bgcolor": palette.background,
            "bordercolor": palette.faint,
            "font": {"color": palette.text},
        },
        "modebar": {"bgcolor": "rgba(0,0,0,0)"},
        "dragmode": "pan",
        "xaxis": hidden | {"range": [-0.04, 1.04], "showticklabels": False},
        "yaxis": hidden
        | {
            "range": [bottom - 0.1, top + 0.1],
            "tickvals": [row.y for row in layout.rows],
            "ticktext": [_row_name(row, layout) for row in layout.rows],
            "tickfont": {"color": palette.faint, "size": 12},
            "automargin": False,
        },
        "annotations": [_band_name(band, palette) for band in layout.bands],
    }


def _row_name(row: Row, layout: Layout) -> str:
    """What the row holds; with its block where the block has no other row."""
    name = ROW_LABELS[row.location.kind]
    alone = any(band.rows == 1 and band.name == row.location.block_name for band in layout.bands)
    return f"{block_label(row.location)}<br>{name}" if alone and row.location.block else name


def _band_name(band: Band, palette: Palette) -> dict[str, Any]:
    """The block's name, upright along its rows; a single row needs no more than its own label."""
    location = Location.parse("final_resid" if band.rows == 1 else f"{band.name}.act_in")
    return {
        "text": "" if band.rows == 1 else block_label(location),
        "textangle": -90,
        "x": 0,
        "xref": "paper",
        "xanchor": "center",
        "xshift": -68,
        "y": (band.bottom + band.top) / 2,
        "yref": "y",
        "yanchor": "middle",
        "showarrow": False,
        "font": {"color": palette.faint, "size": 12},
    }
