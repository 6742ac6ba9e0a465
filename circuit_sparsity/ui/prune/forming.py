"""A circuit while it forms: how many nodes are on at each place; their graph once they are few."""

from collections.abc import Mapping

import streamlit as st

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.circuits.wiring import wiring
from circuit_sparsity.core.names import Location
from circuit_sparsity.plots.colours import palette
from circuit_sparsity.plots.film import places_figure
from circuit_sparsity.plots.graph import Figure, circuit_figure
from circuit_sparsity.plots.layout import lay_out
from circuit_sparsity.ui.shell import cached

FEW = 150  # nodes up to which the graph is drawn: it takes a fraction of a second, each time anew

Nodes = Mapping[Location, tuple[int, ...]]


def forming(model: str, nodes: Nodes, key: str) -> None:
    """The nodes that are on now: as a graph, or as counts while they are many."""
    size = sum(map(len, nodes.values()))
    if not size:
        return
    st.plotly_chart(
        _figure(model, tuple(nodes.items()), st.context.theme.type),
        key=f"forming {key}",
        config={"displaylogo": False, "displayModeBar": False},
        alt=f"The {size} nodes that are on now",
    )
    if size > FEW:
        st.caption(f"Nodes on at each place; their graph from {FEW} nodes down.")
    else:
        st.caption("The circuit so far: nodes that are on, and the weights between them.")


@st.cache_resource(max_entries=16, show_spinner=False)
def _figure(
    model_name: str, nodes: tuple[tuple[Location, tuple[int, ...]], ...], theme: str | None
) -> Figure:
    model, kept = cached.model(model_name), dict(nodes)
    circuit = Circuit(kept, model_name, "", "", "")
    if circuit.size > FEW:
        return places_figure(kept, model.config, palette(theme))
    wired = wiring(circuit, model)
    joins = [(edge.source, edge.target) for edge in wired.edges]
    placed = lay_out(wired.nodes, joins, model.config.d_head)
    return circuit_figure(wired, placed, model.config, palette(theme))
