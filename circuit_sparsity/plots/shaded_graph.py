"""The graph of a circuit with its nodes coloured by what switching them off costs."""

from collections.abc import Collection, Mapping

from circuit_sparsity.circuits.wiring import Wiring
from circuit_sparsity.model import GPTConfig
from circuit_sparsity.names import Node
from circuit_sparsity.plots.colours import Palette, shade
from circuit_sparsity.plots.graph import Figure, Part, circuit_figure
from circuit_sparsity.plots.layout import Layout
from circuit_sparsity.plots.words import signed


def shaded_figure(
    wiring: Wiring,
    layout: Layout,
    config: GPTConfig,
    deltas: Mapping[Node, float],
    palette: Palette,
    picked: Collection[Part] = (),
    label: str = "stored",
) -> Figure:
    """`circuit_figure` with each node in the colour of the rise of the loss without it.

    ``deltas`` are in nats per sequence; zero is the middle of the scale, the largest its end.
    ``label`` says in the hover text where they are from: stored, or live.
    """
    figure = circuit_figure(wiring, layout, config, palette, picked)
    largest = max(map(abs, deltas.values()), default=0.0)
    colours = [*(shade(palette, deltas[node], largest) for node in wiring.nodes), palette.node]
    texts = [
        f"{text}<br>{label}: {signed(deltas[node], 4)} nats when ablated"
        for node, text in zip(wiring.nodes, figure.to_dict()["data"][0]["hovertext"], strict=False)
    ]
    look = {"color": colours, "line": {"width": 1, "color": palette.faint}}
    figure.update_traces(marker=look, hovertext=[*texts, ""], selector=0)
    return figure
