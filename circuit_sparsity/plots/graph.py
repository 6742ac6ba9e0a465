"""The whole circuit as one Plotly figure: rows by location, edges by sign and strength."""

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from html import escape
from types import MappingProxyType
from typing import Any

from plotly.graph_objects import Figure

from circuit_sparsity.circuits.edges import Edge, Link
from circuit_sparsity.circuits.wiring import Wiring
from circuit_sparsity.core.model import GPTConfig
from circuit_sparsity.core.names import Location, Node
from circuit_sparsity.plots.colours import Palette
from circuit_sparsity.plots.heads import names, outlines
from circuit_sparsity.plots.layout import Band, GraphLayout, Row
from circuit_sparsity.plots.marks import Part, markers, middles, overlays
from circuit_sparsity.plots.words import ROW_LABELS, block_label

# One path a bin and sign: 4,000 edges draw in 0.14 s, one shape an edge takes 2.6 s.
BINS = 8
_ROW_PIXELS = 22


def circuit_figure(
    wiring: Wiring,
    layout: GraphLayout,
    config: GPTConfig,
    palette: Palette,
    picked: Collection[Part] = (),
    means: Mapping[Node, float] = MappingProxyType({}),
    whole: Wiring | None = None,
) -> Figure:
    """The circuit, blocks from bottom to top; each point's ``customdata`` is its node's name.

    In the middle of each edge is a point that is seen only when it is picked; its ``customdata``
    is the edge as ``source>target``. Circuits of more than `CLICKABLE_EDGES` edges have none. Two
    more traces are empty: scripts draw a path and the focus of the keyboard in them. ``means`` are
    mean activations over the pretraining text, for the hover text. Where only the strong edges of
    a circuit are drawn, ``whole`` has all: those of the node under the mouse are lit up.

    The figure depends on ``picked`` only where a selection has to be set from outside; clicks
    restyle it in the browser.
    """
    every = wiring if whole is None else whole
    strongest = max((abs(edge.weight) for edge in every.edges), default=0.0)
    shapes = [
        *_bands(layout, palette),
        *outlines(wiring.nodes, layout, config, palette),
        *_links(wiring.residual, layout, palette.residual, "dot"),
        *_links(wiring.attention, layout, palette.attention, "dashdot"),
        *_edges(wiring.edges, layout, palette, strongest),
    ]
    frame = _frame(layout, palette)
    frame["annotations"] += names(wiring.nodes, layout, config, palette)
    return Figure(
        data=[
            markers(every, layout, config, palette, picked, means, len(wiring.edges)),
            middles(wiring.edges, layout, palette, picked),
            *overlays(palette),
        ],
        layout=frame | {"shapes": shapes},
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
    edges: Sequence[Edge], layout: GraphLayout, palette: Palette, strongest: float
) -> list[dict[str, Any]]:
    bins: dict[tuple[int, bool], list[Edge]] = defaultdict(list)
    for edge in edges:
        bins[strength_bin(edge.weight, strongest), edge.weight > 0].append(edge)
    return [
        edge_path(members, layout, palette, strength, positive, len(edges))
        for (strength, positive), members in sorted(bins.items())
    ]


def edge_path(
    edges: Sequence[Edge],
    layout: GraphLayout,
    palette: Palette,
    strength: int,
    positive: bool,
    among: int,
) -> dict[str, Any]:
    """Edges of one sign and strength bin as a shape; thinner where they are ``among`` many."""
    ink = 1.0 if among <= 400 else 0.75 if among <= 1000 else 0.5
    return _path(
        edges,
        layout,
        color=palette.positive if positive else palette.negative,
        width=round((0.8 + 3.2 * strength / (BINS - 1)) * ink, 2),
        dash="solid" if positive else "5px,3px",
        opacity=round((0.45 + 0.5 * strength / (BINS - 1)) * ink, 2),
    )


def _links(
    links: Sequence[Link], layout: GraphLayout, colour: str, dash: str
) -> Iterable[dict[str, Any]]:
    if links:
        yield _path(links, layout, color=colour, width=1, dash=dash, opacity=0.8)


def _path(
    joins: Sequence[Edge | Link], layout: GraphLayout, opacity: float, **line: Any
) -> dict[str, Any]:
    steps = []
    for join in joins:
        (x0, y0), (x1, y1) = layout.places[join.source], layout.places[join.target]
        steps.append(f"M{x0:.4f},{y0:.2f}L{x1:.4f},{y1:.2f}")
    return {"type": "path", "path": "".join(steps), "line": line, "opacity": opacity} | _BELOW


_BELOW = {"layer": "below", "xref": "x", "yref": "y"}


def _bands(layout: GraphLayout, palette: Palette) -> list[dict[str, Any]]:
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


def _frame(layout: GraphLayout, palette: Palette) -> dict[str, Any]:
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


def _row_name(row: Row, layout: GraphLayout) -> str:
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


_MARKS = (
    ("▲", "reads the residual stream"),
    ("◆", "query, key or value channel"),
    ("●", "MLP neuron"),
    ("■", "writes to the residual stream"),
    ("★", "final residual channel"),
)


def legend_html(palette: Palette, weakest: float, strongest: float) -> str:
    """Lines and marks with their meanings; ``weakest`` and ``strongest`` bound the weights shown.

    Both are 0 when the circuit has no edges.
    """
    items = [
        _line(f"3px solid {palette.positive}", "positive weight"),
        _line(f"3px dashed {palette.negative}", "negative weight"),
        *([_item("", _scale(weakest, strongest))] if strongest else []),
        _line(f"2px dotted {palette.residual}", "same residual channel"),
        _line(f"2px dashed {palette.attention}", "same attention head"),
        _line(f"8px solid {palette.attention}55", "outline: the channels of one head"),
        *(_mark(sign, palette.node, meaning) for sign, meaning in _MARKS),
        _mark("●", palette.ablated, "ablated now", size="1.4em"),
    ]
    return (
        '<div style="display:flex;flex-wrap:wrap;gap:.15rem 1.1rem;font-size:.82rem;'
        f'color:{palette.faint}">{"".join(items)}</div>'
    )


def _scale(weakest: float, strongest: float) -> str:
    return f"thicker is stronger, |weight| {weakest:.2g} to {strongest:.2g}"


def _line(style: str, meaning: str) -> str:
    sample = f'<span style="display:inline-block;width:1.8rem;border-top:{style}"></span>'
    return _item(sample, meaning)


def _mark(sign: str, colour: str, meaning: str, size: str = "1em") -> str:
    return _item(
        f'<span style="color:{colour};font-size:{size};line-height:1">{sign}</span>', meaning
    )


def _item(sample: str, meaning: str) -> str:
    return (
        '<span style="display:inline-flex;align-items:center;gap:.4rem;white-space:nowrap">'
        f"{sample}{escape(meaning)}</span>"
    )
