"""A circuit's parts in tables, the way in by keyboard and screen reader; what was left out."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import pandas as pd
import streamlit as st

from circuit_sparsity.core.names import Node
from circuit_sparsity.experiment.experiment import Experiment
from circuit_sparsity.plots.words import place_in_words
from circuit_sparsity.ui.shell import cached, state
from circuit_sparsity.ui.shell.cached import CircuitView, LiveView, identity
from circuit_sparsity.ui.shell.costs import Costs, costs_of_edges, known_costs_of_nodes

_RISE = "rise of the loss without it, nats"
_OUTSIDE = 40  # nodes outside the circuit that are listed
_CHANGE = "change of the loss when added, nats"
_ASKED = "look outside"
_EXAMPLE = "0.attn.act_in:71"


def tables(view: LiveView) -> None:
    """Kept nodes, edges, and what is not kept."""
    with st.expander(f"All {view.circuit.size} nodes as a table", icon=":material/table:"):
        costs = known_costs_of_nodes(view, state.fill())
        node_table(view, {} if costs is None else _column(costs))
    with st.expander(f"All {len(view.wiring.edges)} edges as a table", icon=":material/table:"):
        _edges(view)
    with st.expander("Nodes that pruning left out", icon=":material/add_circle:"):
        _outside(view)


def _column(costs: Costs) -> dict[str, list[float]]:
    return {f"{_RISE} (live, {costs.on})": list(costs.rises.values())}


def _edges(view: LiveView) -> None:
    if not view.wiring.edges:
        st.caption("No weight joins two kept nodes.")
        return
    asked = st.toggle("Switch off each edge and show what it costs", key="cost of edges")
    edge_table(view, _column(costs_of_edges(view, state.fill())) if asked else {})


def _outside(view: LiveView) -> None:
    experiment = view.experiment
    st.markdown(
        "What would each node of the model that is *not* in the circuit do if it ran too? First "
        "an estimate for all of them from one backward pass (activation less mean, times the "
        "gradient of the loss), then the true change for the most promising, each added alone."
    )
    if not st.toggle("Find them", key=_ASKED):
        return
    named = st.text_input("Nodes to add, if you have some in mind", placeholder=_EXAMPLE)
    chosen = tuple(map(Node.parse, named.replace(",", " ").split()))
    found = _left_out(experiment, cached.identity(view), chosen)
    st.dataframe(found, hide_index=True, width="stretch")
    best = found.iloc[0]
    st.caption(
        f"Live, on {len(experiment.batch)} prompts; baseline: the circuit, "
        f"{experiment.of_circuit.loss:.4f} nats a sequence. The best single addition changes the "
        f"loss by {best[_CHANGE]:+.4f}. Estimates are first-order: "
        "compare the two columns before trusting one."
    )


@st.cache_data(max_entries=16, show_spinner="Estimating the effect of every node of the model …")
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


def node_table(
    view: CircuitView, more: Mapping[str, Sequence[float]] = MappingProxyType({})
) -> None:
    """Every node with its place, degrees and ``more`` columns; ticked rows are switched off."""
    st.dataframe(
        _frame(view, identity(view)).assign(**more),
        key=state.TABLE,
        on_select=lambda: state.changed_in_table(state.TABLE, view.wiring.nodes),
        selection_mode="multi-row",
        hide_index=True,
        width="stretch",
    )


def edge_table(
    view: CircuitView, more: Mapping[str, Sequence[float]] = MappingProxyType({})
) -> None:
    """Every edge with its weight and ``more`` columns; ticked rows are switched off."""
    st.dataframe(
        _edge_frame(view, identity(view)).assign(**more),
        key=state.EDGES,
        on_select=lambda: state.changed_in_table(state.EDGES, view.wiring.edges),
        selection_mode="multi-row",
        hide_index=True,
        width="stretch",
    )


@st.cache_data(max_entries=32, show_spinner=False)
def _edge_frame(_view: CircuitView, identity: int) -> pd.DataFrame:
    return pd.DataFrame(
        {"source": str(edge.source), "target": str(edge.target), "weight": edge.weight}
        for edge in _view.wiring.edges
    )


@st.cache_data(max_entries=32, show_spinner=False)
def _frame(_view: CircuitView, identity: int) -> pd.DataFrame:
    config, wired = _view.config, _view.wiring
    return pd.DataFrame(
        {
            "node": str(node),
            "what it is": place_in_words(node, config),
            "fed by": len(wired.into(node)),
            "feeds": len(wired.out_of(node)),
        }
        for node in wired.nodes
    )
