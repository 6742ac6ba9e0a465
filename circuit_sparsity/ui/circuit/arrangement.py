"""How a graph, its controls, its panel and its notes share a page, wide or on a telephone."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

# Below 640 px Streamlit puts columns under each other: the notes would part a click from the
# panel that answers it, so the panel goes before them.
_STYLE = """<style>
@media (max-width: 640px) {
  .st-key-graph_controls > * {flex: 1 1 40% !important; min-width: 0}
  .st-key-graph_and_panel .stColumn:first-child:has(.st-key-graph_notes),
  .st-key-graph_and_panel .stColumn:first-child > .stVerticalBlock:has(> * > .st-key-graph_notes) {
    display: contents
  }
  .st-key-graph_and_panel .stColumn:has(.st-key-graph_notes) + .stColumn {order: 1}
  .st-key-graph_and_panel *:has(> .st-key-graph_notes) {order: 2}
}
</style>"""


def graph_and_panel() -> tuple[DeltaGenerator, DeltaGenerator]:
    """Columns for a graph with its `notes`, and for the panel beside it."""
    with st.container(key="graph_and_panel"):
        st.html(_STYLE)
        left, right = st.columns([0.66, 0.34], gap="medium")
    return left, right


def controls() -> DeltaGenerator:
    """A row for what is chosen about the graph."""
    return st.container(
        horizontal=True, vertical_alignment="bottom", gap="small", key="graph_controls"
    )


def notes() -> DeltaGenerator:
    """Where the graph is explained; the last part of its column."""
    return st.container(key="graph_notes")
