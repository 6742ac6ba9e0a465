"""The nodes of a circuit as a table: the way in by keyboard and screen reader."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import pandas as pd
import streamlit as st

from circuit_sparsity.plots.words import place_in_words
from circuit_sparsity.ui.shell import state
from circuit_sparsity.ui.shell.address import bound
from circuit_sparsity.ui.shell.cached import Sight, identity


def search_field(scene: Sight) -> None:
    """The list of what is switched off, which is also a search over all nodes and edges."""
    st.multiselect(
        "Switched off",
        [str(part) for part in (*scene.wiring.nodes, *scene.wiring.edges)],
        **bound(state.NODES),
        wrap=True,
        select_all=False,
        placeholder="Nothing: type to find a node or an edge",
        on_change=state.changed_in_field,
        args=(scene,),
        help="These nodes and edges (source>target) are ablated together. The page's address "
        "holds them: copy it to share this view.",
    )


def nodes(scene: Sight, more: Mapping[str, Sequence[float]] = MappingProxyType({})) -> None:
    """Every node with its place, degrees and ``more`` columns; ticked rows are switched off."""
    st.dataframe(
        _frame(scene, identity(scene)).assign(**more),
        key=state.TABLE,
        on_select=lambda: state.changed_in_table(state.TABLE, scene.wiring.nodes),
        selection_mode="multi-row",
        hide_index=True,
        width="stretch",
    )


def edges(scene: Sight, more: Mapping[str, Sequence[float]] = MappingProxyType({})) -> None:
    """Every edge with its weight and ``more`` columns; ticked rows are switched off."""
    st.dataframe(
        _edge_frame(scene, identity(scene)).assign(**more),
        key=state.EDGES,
        on_select=lambda: state.changed_in_table(state.EDGES, scene.wiring.edges),
        selection_mode="multi-row",
        hide_index=True,
        width="stretch",
    )


@st.cache_data(max_entries=32, show_spinner=False)
def _edge_frame(_scene: Sight, identity: int) -> pd.DataFrame:
    return pd.DataFrame(
        {"source": str(edge.source), "target": str(edge.target), "weight": edge.weight}
        for edge in _scene.wiring.edges
    )


@st.cache_data(max_entries=32, show_spinner=False)
def _frame(_scene: Sight, identity: int) -> pd.DataFrame:
    config, wired = _scene.config, _scene.wiring
    return pd.DataFrame(
        {
            "node": str(node),
            "what it is": place_in_words(node, config),
            "fed by": len(wired.into(node)),
            "feeds": len(wired.out_of(node)),
        }
        for node in wired.nodes
    )
