"""The graph of a stored circuit: nodes and edges in the colour of what each cost its maker."""

from collections.abc import Collection, Mapping

from circuit_sparsity.circuits.wiring import Wiring
from circuit_sparsity.model import GPTConfig
from circuit_sparsity.names import Node
from circuit_sparsity.plots.colours import Palette, shade
from circuit_sparsity.plots.graph import Figure
from circuit_sparsity.plots.layout import Layout
from circuit_sparsity.plots.marks import Part
from circuit_sparsity.plots.shaded_graph import cost, shaded_figure
from circuit_sparsity.plots.words import signed

SEEN_FROM = 0.02  # of the largest cost: crosses on cheaper edges are not drawn
_UNSEEN = "rgba(0,0,0,0)"


def stored_figure(
    wiring: Wiring,
    layout: Layout,
    config: GPTConfig,
    nodes: Mapping[Node, float],
    edges: Mapping[str, float],
    palette: Palette,
    picked: Collection[Part] = (),
) -> Figure:
    """`shaded_figure` with a cross on each edge that costs something, on one scale with the nodes.

    ``nodes`` and ``edges`` (by name) are stored rises of the loss in nats per sequence; zero is the
    middle of the scale, the largest of all its end. Every edge tells its own on hovering.
    """
    figure = shaded_figure(wiring, layout, config, cost(nodes, "stored"), palette, picked)
    largest = max(map(abs, (*nodes.values(), *edges.values())), default=0.0)
    colours = [*(shade(palette, nodes[node], largest) for node in wiring.nodes), palette.node]
    figure.update_traces(marker={"color": colours}, selector=0)
    middles = figure.to_dict()["data"][1]
    costs = [edges[name] for name in middles["customdata"]]
    crosses = [
        shade(palette, rise, largest) if abs(rise) > SEEN_FROM * largest else _UNSEEN
        for rise in costs
    ]
    texts = [
        f"{text}<br>stored: {signed(rise, 4)} nats when ablated"
        for text, rise in zip(middles["hovertext"], costs, strict=True)
    ]
    look = {
        "size": 9,
        "color": crosses,
        "opacity": 1,
        "line": {"width": 0.5, "color": palette.faint},
    }
    figure.update_traces(
        marker=look, unselected={"marker": {"opacity": 0.75}}, hovertext=texts, selector=1
    )
    return figure
