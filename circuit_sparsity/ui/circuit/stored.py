"""A circuit from its file alone: what was measured when it was made, without running the model."""

from collections.abc import Callable, Iterable, Sequence

import pandas as pd
import streamlit as st

from circuit_sparsity.circuits.edges import Edge
from circuit_sparsity.circuits.wiring import Neighbour
from circuit_sparsity.core.names import Node
from circuit_sparsity.plots.coloured_graph import stored_figure
from circuit_sparsity.plots.colours import palette
from circuit_sparsity.plots.graph import Figure, circuit_figure
from circuit_sparsity.plots.words import block_label, signed, stored_loss
from circuit_sparsity.release import StoredEdge
from circuit_sparsity.ui.circuit import graph
from circuit_sparsity.ui.circuit.export import stored_section
from circuit_sparsity.ui.circuit.graph import (
    block_field,
    controls,
    graph_and_panel,
    notes,
    weight_field,
)
from circuit_sparsity.ui.circuit.inspector import edge, place
from circuit_sparsity.ui.circuit.tables import edge_table, node_table
from circuit_sparsity.ui.shell import cached, history, messages, state
from circuit_sparsity.ui.shell.cached import STORED_HELP, CircuitView, StoredView
from circuit_sparsity.ui.shell.fields import among
from circuit_sparsity.ui.shell.shared import shared

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


def page(view: StoredView, below: Callable[[], None] = lambda: None) -> None:
    """Graph, numbers, the picked parts and tables; every number is a stored one.

    ``below`` is drawn under the tables, and again whenever the picked parts change.
    """
    task = view.circuit.task
    st.markdown(
        f"**{messages.plain(task)}**: every number below is **stored**, measured by whoever made "
        "the file. Nothing is run here."
    )
    _explore(view, below)


@shared()
def _figure(
    _view: StoredView,
    _shown: CircuitView,
    identity: int,
    theme: str | None,
    baked: tuple[Node | Edge, ...],
) -> Figure:
    drawn = (_shown.wiring, _shown.layout, _shown.config)
    whole = graph.whole_of(_shown)
    if not _view.tells_costs:
        return circuit_figure(*drawn, palette(theme), baked, whole=whole)
    costs = (_view.deltas, _view.edge_deltas)
    return stored_figure(*drawn, *costs, palette(theme), baked, whole)


@st.fragment
def _explore(view: StoredView, below: Callable[[], None]) -> None:
    with messages.in_place():
        circuit = view.circuit
        state.prepare(view)
        history.follow(view)
        messages.unknown_nodes(state.unknown_nodes(), circuit.title)
        left, right = graph_and_panel()
        with left:
            _graph(view)
        with right:
            st.markdown(
                f"**{circuit.size:,}** of {view.stored.total_nodes:,} nodes · "
                f"{_edges_in_words(view)}",
                help="Edges are the nonzero weights between kept nodes.",
            )
            state.search_field(view)
            inspector(view)
        _tables(view)
        stored_section(view)
        below()


def _edges_in_words(view: StoredView) -> str:
    stored = view.stored
    return f"**{len(stored.edges):,}** edges" if stored.edge_matrices else "edges not stored"


def _graph(view: StoredView) -> None:
    with controls():
        shown, edges = weight_field(block_field(view))
        explained = notes()
    graph.draw(view, lambda _, __, *look: _figure(view, shown, cached.identity(shown), *look))
    largest = max(map(abs, (*view.deltas.values(), *view.edge_deltas.values())), default=0.0)
    graph.keys(view)
    with explained:
        graph.legend(view)
        if not view.tells_costs:
            st.caption(f"What nodes and edges cost is not stored in this file. {edges}.")
            return
        st.caption(
            "Nodes, and a cross in the middle of an edge: blue to orange by the stored rise in "
            "the loss when that node or edge alone is ablated, on one scale that ends at "
            f"±{largest:.3g} nats. Edges without a cross cost next to nothing. Hover for the "
            f"number. In the picture: {edges}."
        )


def _tables(view: StoredView) -> None:
    nodes, edges = view.wiring.nodes, view.wiring.edges
    with st.expander(f"All {len(nodes)} nodes as a table", icon=":material/table:"):
        node_table(view, {_RISE: [view.deltas[node] for node in nodes]})
    with st.expander(f"All {len(edges)} edges as a table", icon=":material/table:"):
        if edges:
            edge_table(view, {_RISE: [view.edge_deltas[str(edge)] for edge in edges]})
        else:
            st.caption("No weight joins two kept nodes.")
    with st.expander("What each block and location costs", icon=":material/table:"):
        st.dataframe(_blocks(view), hide_index=True)
        st.caption(
            "Stored: the loss when everything kept there is ablated together, against the "
            f"circuit's: {stored_loss(view.stored.circuit_loss)} per sequence."
        )


def _blocks(view: StoredView) -> pd.DataFrame:
    stored = view.stored
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


_FIRST_FEW = 12  # neighbours shown before one asks for the rest


def inspector(view: StoredView) -> None:
    """What the file says of the picked nodes and edges, or of the circuit when none is."""
    part, parts = state.selected(view), state.changed(view)
    parts = parts if part is None else (part,)
    nodes = [one for one in parts if isinstance(one, Node)]
    names = {str(one) for one in parts if not isinstance(one, Node)}
    edges = [edge for edge in view.stored.edges if view.edge_name(edge) in names]
    if len(nodes) + len(edges) > 1:
        _each_alone(view, nodes, edges)
    elif nodes:
        _node(view, nodes[0])
    elif edges:
        _stored_edge(view, edges[0])
    else:
        _whole(view)


def _whole(view: StoredView) -> None:
    st.markdown("##### The circuit, unchanged, stored", help=STORED_HELP)
    model = _number(view.stored.model_loss)
    _loss("Task loss, nats", view.stored.circuit_loss, f"model {model}")
    st.info(
        "**Click a node**, or the middle of a line, for what its ablation cost when the file was "
        "made. **Shift+click** collects several.",
        icon=":material/ads_click:",
    )


def _each_alone(view: StoredView, nodes: Sequence[Node], edges: Sequence[StoredEdge]) -> None:
    st.markdown("##### Each alone, stored", help=STORED_HELP)
    for node in nodes:
        st.markdown(f"`{node}` {stored_loss(view.deltas[node], change=True)}")
    for joined in edges:
        st.markdown(f"`{view.edge_name(joined)}` {stored_loss(joined.delta, change=True)}")
    st.caption(
        "The file has no loss for these together; it can be computed once the model is on "
        "this machine."
    )


def _node(view: StoredView, node: Node) -> None:
    st.markdown(f"##### Without `{node}`")
    _cost(view, view.deltas[node])
    place(view, node)
    bias = view.biases.get(node)
    if bias is not None and bias.weight:
        st.caption(
            f"Bias {signed(bias.weight)}, stored {stored_loss(bias.delta, change=True)} without "
            "it; biases "
            "are not counted as edges."
        )
    _neighbours(view, node, "Fed by", view.wiring.into(node))
    _neighbours(view, node, "Feeds", view.wiring.out_of(node))


def _stored_edge(view: StoredView, joined: StoredEdge) -> None:
    st.markdown(f"##### Without `{view.edge_name(joined)}`")
    _cost(view, joined.delta)
    edge(view, joined)


def _cost(view: StoredView, rise: float) -> None:
    whole = view.stored.circuit_loss
    change = f"{_number(rise, change=True)} from {_number(whole)}"
    _loss("Task loss, nats, stored", whole + rise, change)


def _number(loss: float, change: bool = False) -> str:
    return stored_loss(loss, change).removesuffix(" nats")  # the label has the unit


def _loss(label: str, loss: float, beside: str) -> None:
    st.metric(
        label,
        _number(loss),
        beside,
        delta_color="off",
        delta_arrow="off",
        width="content",
        help=STORED_HELP,
    )


def _neighbours(view: StoredView, node: Node, title: str, near: Sequence[Neighbour]) -> None:
    st.markdown(
        f"**{title}** ({len(near)})",
        help="Weights, strongest first, with the stored rise in the loss without that edge; then "
        "links, which have no weight of their own. Click one to go there.",
    )
    _buttons(view, node, title, near[:_FIRST_FEW])
    if len(near) > _FIRST_FEW:
        with st.expander(f"{len(near) - _FIRST_FEW} more"):
            _buttons(view, node, title, near[_FIRST_FEW:])


def _buttons(view: StoredView, node: Node, title: str, near: Iterable[Neighbour]) -> None:
    with st.container(gap=None):
        for neighbour in near:
            st.button(
                f"`{neighbour.node}` {_by(view, node, neighbour)}",
                key=f"{title} {neighbour.node} {neighbour.by}",
                type="tertiary",
                on_click=state.select,
                args=(neighbour.node,),
            )


def _by(view: StoredView, node: Node, neighbour: Neighbour) -> str:
    if neighbour.weight is None:
        return f"by {neighbour.by}"
    edge = view.wiring.edge_between(node, neighbour.node)
    delta = view.edge_deltas[str(edge)]
    return f"weight {signed(neighbour.weight)}, stored {stored_loss(delta, change=True)}"
