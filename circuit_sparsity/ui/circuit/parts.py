"""A node or an edge in words beside the graph, live or stored."""

import streamlit as st

from circuit_sparsity.circuits.edges import Edge
from circuit_sparsity.core.names import Node
from circuit_sparsity.plots.words import place_in_words, signed
from circuit_sparsity.release import StoredEdge
from circuit_sparsity.ui.shell import state
from circuit_sparsity.ui.shell.cached import Sight


def place(scene: Sight, node: Node) -> None:
    """Where the node is."""
    words = place_in_words(node, scene.config)
    st.markdown(f"{words[0].upper()}{words[1:]}.")


def edge(scene: Sight, joined: Edge | StoredEdge) -> None:
    """The weight, and both ends: a click goes there."""
    source, target = (place_in_words(node, scene.config) for node in (joined.source, joined.target))
    st.markdown(f"Weight **{signed(joined.weight)}** from {source} into {target}.")
    with st.container(gap=None):
        for name, node in (("source", joined.source), ("target", joined.target)):
            st.button(
                f"`{node}` {name}",
                key=f"{name} {node}",
                type="tertiary",
                on_click=state.choose,
                args=(scene, (node,)),
            )
