"""The graph of a circuit with some nodes pointed at: they are large, full and named."""

from collections.abc import Collection

from circuit_sparsity.circuits.wiring import Wiring
from circuit_sparsity.model import GPTConfig
from circuit_sparsity.names import Node
from circuit_sparsity.plots.colours import Palette
from circuit_sparsity.plots.graph import Figure, circuit_figure
from circuit_sparsity.plots.layout import Layout

_LARGE, _SMALL = 16, 9  # pixels
_APART = 0.06  # of the width: marks of a row that are nearer have no room for names


def marked_figure(
    wiring: Wiring,
    layout: Layout,
    config: GPTConfig,
    marked: Collection[Node],
    off: Collection[Node],
    palette: Palette,
) -> Figure:
    """`circuit_figure` with ``marked`` nodes full and large, the others hollow and small.

    Nodes that are switched ``off`` have the colour of ablation. Marks with room beside them have
    their channel's number above.
    """
    figure = circuit_figure(wiring, layout, config, palette)
    pointed = {*marked, *off}
    named = {node for node in pointed if _has_room(node, pointed, layout)}
    inks = [palette.ablated if node in off else palette.text for node in wiring.nodes]
    fills = [
        ink if node in pointed else palette.background
        for node, ink in zip(wiring.nodes, inks, strict=True)
    ]
    sizes = [_LARGE if node in pointed else _SMALL for node in wiring.nodes]
    figure.update_traces(
        mode="markers+text",
        text=[*(f"<b>{node.channel}</b>" if node in named else "" for node in wiring.nodes), ""],
        textposition="top center",
        textfont={"color": palette.text, "size": 12},
        marker={
            "color": [*fills, palette.background],
            "size": [*sizes, _SMALL],
            "line": {"width": 1.5, "color": [*inks, palette.text]},
        },
        selected=None,
        unselected=None,
        selector=0,
    )
    figure.update_layout(dragmode=False)
    return figure


def _has_room(node: Node, others: Collection[Node], layout: Layout) -> bool:
    x, y = layout.places[node]
    row = [layout.places[other] for other in others if other != node]
    return not any(other_y == y and abs(other_x - x) < _APART for other_x, other_y in row)
