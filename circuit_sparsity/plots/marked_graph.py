"""The graph of a circuit with some nodes pointed at: they are large, full and named."""

from collections.abc import Collection

from circuit_sparsity.circuits.wiring import Wiring
from circuit_sparsity.model import GPTConfig
from circuit_sparsity.names import Node
from circuit_sparsity.plots.colours import Palette
from circuit_sparsity.plots.graph import Figure, circuit_figure
from circuit_sparsity.plots.layout import Layout

_LARGE, _SMALL = 16, 9  # pixels
_NAMED = 12  # marks with their channel beside them


def marked_figure(
    wiring: Wiring,
    layout: Layout,
    config: GPTConfig,
    marked: Collection[Node],
    off: Collection[Node],
    palette: Palette,
) -> Figure:
    """`circuit_figure` with ``marked`` nodes full and large, the others hollow and small.

    Nodes that are switched ``off`` have the colour of ablation. Up to twelve marks have their
    channel's number above them.
    """
    figure = circuit_figure(wiring, layout, config, palette)
    pointed = {*marked, *off}
    named = pointed if len(pointed) <= _NAMED else set()
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
