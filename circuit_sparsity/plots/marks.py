"""What can be pointed at in a circuit's graph: nodes, the middles of edges, and overlays."""

from collections.abc import Collection, Container, Mapping, Sequence
from typing import Any

from circuit_sparsity.circuits.edges import Edge
from circuit_sparsity.circuits.wiring import Wiring
from circuit_sparsity.core.model import GPTConfig
from circuit_sparsity.core.names import Node
from circuit_sparsity.plots.colours import Palette
from circuit_sparsity.plots.layout import GraphLayout
from circuit_sparsity.plots.words import place_in_words, signed

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
NODES, EDGES, PATH, FOCUS, SELECTED = range(5)  # traces
JOINS = 100_000  # of the strongest edges: more are not lit up under the mouse

Part = Node | Edge
_Place = tuple[float, float]


def markers(
    wiring: Wiring,
    layout: GraphLayout,
    config: GPTConfig,
    palette: Palette,
    picked: Collection[Part],
    means: Mapping[Node, float],
    drawn: int,
) -> dict[str, Any]:
    """The nodes; ``meta`` leads the keys to the strongest neighbours, the mouse to all.

    Of the edges of ``wiring`` the strongest are ``drawn``, so many; scripts draw the others of the
    node that is looked at.
    """
    nodes = wiring.nodes
    size = node_size(len(nodes))
    places = [layout.places[node] for node in nodes]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [round(x, 4) for x, _ in places] + [None],
        "y": [y for _, y in places] + [None],
        "customdata": [*map(str, nodes), ANCHOR],
        "meta": neighbours(wiring, layout)
        | {"joins": joins(wiring, palette), "partial": drawn < len(wiring.edges)},
        "hovertext": [*(_hover(node, wiring, config, means) for node in nodes), ""],
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


def node_size(nodes: int) -> int:
    """In pixels, so that marks in a row do not touch."""
    return 11 if nodes <= 160 else 9 if nodes <= 500 else 7


def neighbours(wiring: Wiring, layout: GraphLayout) -> dict[str, list[int]]:
    """By node, the point to which each arrow key leads; -1 for none.

    Up and down go along the strongest weight (a link where there is none) to a node that is fed
    or that feeds; left and right to the next in the row.
    """
    number = {node: i for i, node in enumerate(wiring.nodes)}
    rows: dict[float, list[Node]] = {}
    for node in sorted(wiring.nodes, key=lambda node: layout.places[node]):
        rows.setdefault(layout.places[node][1], []).append(node)
    left, right = [-1] * len(number), [-1] * len(number)
    for row in rows.values():
        for one, other in zip(row, row[1:], strict=False):
            right[number[one]], left[number[other]] = number[other], number[one]
    up = [next((number[n.node] for n in wiring.out_of(node)), -1) for node in wiring.nodes]
    down = [next((number[n.node] for n in wiring.into(node)), -1) for node in wiring.nodes]
    return {"up": up, "down": down, "left": left, "right": right}


def joins(wiring: Wiring, palette: Palette) -> dict[str, list]:
    """The edges and links by the numbers of their nodes, for the script that lights them up.

    ``kind`` is 0 for a positive weight, 1 for a negative one and 2 for a link; ``ink`` has a
    colour for each. Of more than `JOINS` edges the strongest are told.
    """
    number = {node: i for i, node in enumerate(wiring.nodes)}
    edges = wiring.edges
    if len(edges) > JOINS:
        edges = sorted(edges, key=lambda edge: -abs(edge.weight))[:JOINS]
    links = (*wiring.residual, *wiring.attention)[:JOINS]
    return {
        "from": [number[join.source] for join in (*edges, *links)],
        "to": [number[join.target] for join in (*edges, *links)],
        "kind": [int(edge.weight < 0) for edge in edges] + [2] * len(links),
        "ink": [palette.positive, palette.negative, palette.text],
    }


def middles(
    edges: Sequence[Edge], layout: GraphLayout, palette: Palette, picked: Collection[Part]
) -> dict[str, Any]:
    """Points on the edges to click on: lines between marks cannot be clicked themselves."""
    edges = edges if len(edges) <= CLICKABLE_EDGES else ()
    rows = {row.y for row in layout.rows}
    points = [
        _middle(layout.places[edge.source], layout.places[edge.target], rows) for edge in edges
    ]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [round(x, 4) for x, _ in points],
        "y": [round(y, 3) for _, y in points],
        "customdata": list(map(str, edges)),
        "hovertext": [
            f"<b>edge</b> {edge.source}<br>to {edge.target}<br>weight {signed(edge.weight)}"
            for edge in edges
        ],
        "hoverinfo": "text",
        "selectedpoints": [i for i, edge in enumerate(edges) if edge in picked],
        # Of two marks under a click Plotly takes the smaller one: a node must win.
        "marker": {"size": 13, "symbol": "x", "opacity": 0},
        "selected": {"marker": {"opacity": 1, "color": palette.ablated, "size": 14}},
        "unselected": {"marker": {"opacity": 0}},
    }


def _middle(source: _Place, target: _Place, rows: Container[float]) -> _Place:
    """The middle of an edge, or a point before it where the middle is on a row of nodes.

    >>> _middle((0.0, 0.0), (1.0, 2.0), {0.0, 1.0, 2.0})
    (0.375, 0.75)
    >>> _middle((0.0, 0.0), (1.0, 1.0), {0.0, 1.0, 2.0})
    (0.5, 0.5)
    """
    (x0, y0), (x1, y1) = source, target
    share = 0.375 if (y0 + y1) / 2 in rows else 0.5
    return x0 + (x1 - x0) * share, y0 + (y1 - y0) * share


def overlays(palette: Palette) -> list[dict[str, Any]]:
    """A path along nodes, and rings around the node of the keyboard and the one looked at."""
    empty = {"type": "scatter", "x": [None], "y": [None], "hoverinfo": "skip"}
    line = {"width": 5, "color": palette.path}
    ring = {"size": 24, "symbol": "circle-open", "color": palette.text, "line": {"width": 2.5}}
    box = {"size": 22, "symbol": "square-open", "color": palette.text, "line": {"width": 2}}
    return [
        empty | {"mode": "lines", "line": line, "opacity": 0.75},
        empty | {"mode": "markers", "marker": ring},
        empty | {"mode": "markers", "marker": box},
    ]


def _selected(nodes: Sequence[Node], picked: Collection[Part]) -> list[int] | None:
    if not picked:
        return None
    return [*(i for i, node in enumerate(nodes) if node in picked), len(nodes)]


def _hover(node: Node, wiring: Wiring, config: GPTConfig, means: Mapping[Node, float]) -> str:
    into, out_of = wiring.into(node), wiring.out_of(node)
    weights = [sum(near.by == "weight" for near in side) for side in (into, out_of)]
    links = [len(into) - weights[0], len(out_of) - weights[1]]
    mean = ""
    if node in means:
        mean = f"<br>mean activation, pretraining text: {signed(means[node], 4)}"
    return (
        f"<b>{node}</b><br>{place_in_words(node, config)}<br>"
        f"edges: {weights[0]} in, {weights[1]} out · links: {links[0]} in, {links[1]} out"
        f"{mean}"
    )
