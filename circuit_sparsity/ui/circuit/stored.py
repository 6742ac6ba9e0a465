"""A circuit from its file alone: what was measured when it was made, without running the model."""

from collections.abc import Callable

import pandas as pd
import streamlit as st

from circuit_sparsity.circuits.edges import Edge
from circuit_sparsity.core.names import Node
from circuit_sparsity.plots.coloured_graph import stored_figure
from circuit_sparsity.plots.colours import palette
from circuit_sparsity.plots.graph import Figure
from circuit_sparsity.plots.words import block_label
from circuit_sparsity.ui.circuit import arrangement, blocks, graph, stored_export, table, threshold
from circuit_sparsity.ui.circuit.stored_inspector import inspector
from circuit_sparsity.ui.circuit.stored_scene import STORED_HELP, StoredScene, scene
from circuit_sparsity.ui.shell import cached, history, messages, state
from circuit_sparsity.ui.shell.cached import Sight
from circuit_sparsity.ui.shell.choices import among

__all__ = ["STORED_HELP", "StoredScene", "asked", "page", "scene"]

_LIVE, _STORED = "Live, run here", "Stored in the file"
_NUMBERS = "numbers"  # the widget's key and the address's parameter
_RISE = "stored rise of the loss, nats"


def asked() -> bool:
    """Whether the reader wants stored numbers although the model is here; draws the choice."""
    meaning = (
        "Live: computed on this machine at this moment. Stored: what the circuit's file says, "
        "measured by whoever made it."
    )
    return among("Numbers", (_LIVE, _STORED), _NUMBERS, meaning) == _STORED


def page(seen: StoredScene, below: Callable[[], None] = lambda: None) -> None:
    """Graph, numbers, the picked parts and tables; every number is a stored one.

    ``below`` is drawn under the tables, and again whenever the picked parts change.
    """
    task = seen.circuit.task
    st.markdown(
        f"**{messages.plain(task)}**: every number below is **stored**, measured by whoever made "
        "the file. Nothing is run here."
    )
    _explore(seen, below)


@st.cache_resource(max_entries=32, show_spinner=False)
def _figure(
    _seen: StoredScene,
    _shown: Sight,
    identity: int,
    theme: str | None,
    baked: tuple[Node | Edge, ...],
) -> Figure:
    drawn = (_shown.wiring, _shown.layout, _shown.config)
    return stored_figure(*drawn, _seen.deltas, _seen.edge_deltas, palette(theme), baked)


@st.fragment
def _explore(seen: StoredScene, below: Callable[[], None]) -> None:
    with messages.in_place():
        circuit = seen.circuit
        state.prepare(seen)
        history.follow(seen)
        messages.unknown_nodes(state.unknown_nodes(), circuit.title)
        left, right = arrangement.graph_and_panel()
        with left:
            _graph(seen)
        with right:
            st.markdown(
                f"**{circuit.size:,}** of {seen.stored.total_nodes:,} nodes · "
                f"**{len(seen.stored.edges):,}** edges",
                help="Edges are the nonzero weights between kept nodes.",
            )
            table.search_field(seen)
            inspector(seen)
        _tables(seen)
        stored_export.section(seen)
        below()


def _graph(seen: StoredScene) -> None:
    with arrangement.controls():
        shown, edges = threshold.chosen(blocks.chosen(seen))
    graph.draw(seen, lambda _, __, *look: _figure(seen, shown, cached.identity(shown), *look))
    largest = max(map(abs, (*seen.deltas.values(), *seen.edge_deltas.values())), default=0.0)
    with arrangement.notes():
        graph.legend(seen)
        st.caption(
            "Nodes, and a cross in the middle of an edge: blue to orange by the stored rise of the "
            "loss when that node or edge alone is ablated, on one scale that ends at "
            f"±{largest:.3g} nats. Edges without a cross cost next to nothing. Hover for the "
            f"number. The picture: {edges}."
        )


def _tables(seen: StoredScene) -> None:
    nodes, edges = seen.wiring.nodes, seen.wiring.edges
    with st.expander(f"All {len(nodes)} nodes as a table", icon=":material/table:"):
        table.nodes(seen, {_RISE: [seen.deltas[node] for node in nodes]})
    with st.expander(f"All {len(edges)} edges as a table", icon=":material/table:"):
        if edges:
            table.edges(seen, {_RISE: [seen.edge_deltas[str(edge)] for edge in edges]})
        else:
            st.caption("No weight joins two kept nodes.")
    with st.expander("What each block and location costs", icon=":material/table:"):
        st.dataframe(_blocks(seen), hide_index=True)
        st.caption(
            "Stored: the loss when everything kept there is ablated together, against the "
            f"circuit's {seen.stored.circuit_loss:.4f} nats per sequence."
        )


def _blocks(seen: StoredScene) -> pd.DataFrame:
    stored = seen.stored
    kept = {place: len(channels) for place, channels in stored.circuit.nodes.items()}
    names = {place.block_name: block_label(place) for place in kept}
    rows = [
        (
            names.get(block, block),
            sum(count for place, count in kept.items() if place.block_name == block),
            loss,
        )
        for block, loss in stored.block_losses.items()
    ]
    rows += [(str(place), kept.get(place, 0), loss) for place, loss in
             stored.location_losses.items()]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["what", "nodes kept", "stored loss without it, nats"])
    return frame.assign(**{_RISE: frame["stored loss without it, nats"] - stored.circuit_loss})
