"""All parts of a circuit at once: the graph by what each costs, and tables of nodes and edges."""

import pandas as pd
import streamlit as st

from circuit_sparsity.core.names import Node
from circuit_sparsity.experiment.experiment import Experiment
from circuit_sparsity.plots.activations import scale_legend
from circuit_sparsity.plots.coloured_graph import shaded_figure
from circuit_sparsity.plots.colours import palette
from circuit_sparsity.plots.graph import Figure
from circuit_sparsity.plots.words import place_in_words
from circuit_sparsity.ui.circuit import (
    arrangement,
    blocks,
    colouring,
    export,
    graph,
    paths,
    table,
    threshold,
)
from circuit_sparsity.ui.circuit.colouring import Colouring
from circuit_sparsity.ui.shell import cached, state
from circuit_sparsity.ui.shell import costs as live
from circuit_sparsity.ui.shell.cached import Scene, Sight
from circuit_sparsity.ui.shell.costs import Costs

_RISE = "rise of the loss without it, nats"
_OUTSIDE = 40  # nodes outside the circuit that are listed
_CHANGE = "change of the loss when added, nats"
_ASKED = "look outside"
_EXAMPLE = "0.attn.act_in:71"


def graph_by_cost(scene: Scene) -> None:
    """The graph with its controls; nodes in the colour of what the reader asks for."""
    controls, below = arrangement.controls(), st.container()
    with controls:
        block = blocks.chosen(scene)
        colours = colouring.chosen(scene, below)
        shown, edges = threshold.chosen(block)

    def figure(_: Sight, __: int, theme: str | None, baked: tuple) -> Figure:
        if colours is None:
            return cached.figure(shown, cached.identity(shown), theme, baked)
        return _shaded(scene, shown, colours, cached.identity(shown), colours.key, theme, baked)

    graph.draw(scene, figure, paths.points_out(scene))
    with arrangement.notes():
        graph.legend(scene)
        st.caption(f"The picture: {edges}.")
        if colours is not None:
            theme = palette(st.context.theme.type)
            st.html(scale_legend(theme, colours.shading.largest, colours.legend, note=""))
            st.caption(colours.caption)
        paths.section(scene)
        export.button(scene)


@st.cache_resource(max_entries=48, show_spinner=False)
def _shaded(
    _scene: Scene,
    _shown: Sight,
    _colours: Colouring,
    identity: int,
    key: tuple[str, ...],
    theme: str | None,
    baked: tuple,
) -> Figure:
    drawn = (_shown.wiring, _shown.layout, _shown.config, _colours.shading, palette(theme), baked)
    return shaded_figure(*drawn, mean_activations(_scene), _colours.more)


def mean_activations(scene: Scene) -> dict[Node, float]:
    """Of every kept node, over the pretraining text."""
    values = scene.experiment.means.values
    return {node: float(values[node.location][node.channel]) for node in scene.wiring.nodes}


def tables(scene: Scene) -> None:
    """Kept nodes, edges, and what is not kept."""
    with st.expander(f"All {scene.circuit.size} nodes as a table", icon=":material/table:"):
        few = scene.circuit.size <= live.MOST
        table.nodes(scene, _column(live.of_nodes(scene, state.fill())) if few else {})
    with st.expander(f"All {len(scene.wiring.edges)} edges as a table", icon=":material/table:"):
        _edges(scene)
    with st.expander("Nodes that pruning left out", icon=":material/add_circle:"):
        _outside(scene)


def _column(costs: Costs) -> dict[str, list[float]]:
    return {f"{_RISE} (live, {costs.on})": list(costs.rises.values())}


def _edges(scene: Scene) -> None:
    if not scene.wiring.edges:
        st.caption("No weight joins two kept nodes.")
        return
    asked = st.toggle("Switch off each edge and show what it costs", key="cost of edges")
    table.edges(scene, _column(live.of_edges(scene, state.fill())) if asked else {})


def _outside(scene: Scene) -> None:
    experiment = scene.experiment
    st.markdown(
        "What would each node of the model that is *not* in the circuit do if it ran too? First "
        "an estimate for all of them from one backward pass (activation less mean, times the "
        "gradient of the loss), then the true change for the most promising, each added alone."
    )
    if not st.toggle("Look for them", key=_ASKED):
        return
    named = st.text_input("Nodes to add, if you have some in mind", placeholder=_EXAMPLE)
    chosen = tuple(map(Node.parse, named.replace(",", " ").split()))
    found = _left_out(experiment, cached.identity(scene), chosen)
    st.dataframe(found, hide_index=True, width="stretch")
    best = found.iloc[0]
    st.caption(
        f"Live, on {len(experiment.batch)} prompts; baseline: the circuit, "
        f"{experiment.of_circuit.loss:.4f} nats a sequence. The best single addition changes the "
        f"loss by {best[_CHANGE]:+.4f}. Estimates are first-order: "
        "compare the two columns before trusting one."
    )


@st.cache_data(max_entries=16, show_spinner="Asking every node of the model …")
def _left_out(_experiment: Experiment, identity: int, chosen: tuple[Node, ...]) -> pd.DataFrame:
    """``chosen`` nodes, or the most promising ones, with estimate and true change."""
    estimates = {
        Node(place, channel): estimate
        for place, values in _experiment.importance.items()
        for channel, estimate in enumerate(values.tolist())
    }
    unknown = [str(node) for node in chosen if node not in estimates]
    if unknown:
        raise ValueError(f"the model has no node {', '.join(unknown)}; expected such as {_EXAMPLE}")
    outside = [node for node in estimates if not _experiment.circuit.keeps(node)]
    asked = chosen or sorted(outside, key=lambda node: estimates[node])[:_OUTSIDE]
    rows = [
        {
            "node": str(node),
            "what it is": place_in_words(node, _experiment.model.config),
            "estimate, nats": estimates[node],
            _CHANGE: effect.delta,
        }
        for node, effect in zip(asked, _experiment.add_each(asked), strict=True)
    ]
    return pd.DataFrame(rows).sort_values(_CHANGE)
