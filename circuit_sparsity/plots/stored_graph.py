"""The graph of a circuit from its file alone: nodes coloured by what switching them off cost."""

from collections.abc import Collection, Mapping

from circuit_sparsity.circuits.wiring import Wiring
from circuit_sparsity.model import GPTConfig
from circuit_sparsity.names import Node
from circuit_sparsity.plots.colours import Palette, shade
from circuit_sparsity.plots.graph import Figure, circuit_figure
from circuit_sparsity.plots.layout import Layout
from circuit_sparsity.plots.words import signed


def stored_figure(
    wiring: Wiring,
    layout: Layout,
    config: GPTConfig,
    deltas: Mapping[Node, float],
    palette: Palette,
    picked: Collection[Node] = (),
) -> Figure:
    """`circuit_figure` with each node in the colour of its stored rise of the loss.

    ``deltas`` are in nats per sequence; zero is the middle of the scale, the largest its end.
    """
    figure = circuit_figure(wiring, layout, config, palette, picked)
    largest = max(map(abs, deltas.values()), default=0.0)
    colours = [*(shade(palette, deltas[node], largest) for node in wiring.nodes), palette.node]
    texts = [
        f"{text}<br>stored: {signed(deltas[node], 4)} nats when ablated"
        for node, text in zip(wiring.nodes, figure.to_dict()["data"][0]["hovertext"], strict=False)
    ]
    look = {"color": colours, "line": {"width": 1, "color": palette.faint}}
    figure.update_traces(marker=look, hovertext=[*texts, ""])
    return figure
