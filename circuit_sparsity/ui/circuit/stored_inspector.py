"""Beside a stored circuit's graph: its losses, or what the picked parts cost its maker."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import streamlit as st

from circuit_sparsity.circuits.wiring import Neighbour
from circuit_sparsity.core.names import Node
from circuit_sparsity.plots.words import signed
from circuit_sparsity.release import StoredEdge
from circuit_sparsity.ui.circuit import parts
from circuit_sparsity.ui.circuit.stored_scene import STORED_HELP, StoredScene
from circuit_sparsity.ui.shell import state

_FIRST_FEW = 12  # neighbours shown before one asks for the rest


def inspector(seen: StoredScene) -> None:
    """What the file says of the picked nodes and edges, or of the circuit when none is."""
    nodes, names = state.picked(seen), {str(edge) for edge in state.picked_edges(seen)}
    edges = [edge for edge in seen.stored.edges if seen.edge_name(edge) in names]
    if len(nodes) + len(edges) > 1:
        _each_alone(seen, nodes, edges)
    elif nodes:
        _node(seen, nodes[0])
    elif edges:
        _edge(seen, edges[0])
    else:
        _whole(seen)


def _whole(seen: StoredScene) -> None:
    st.markdown("##### The circuit as it is, stored", help=STORED_HELP)
    _loss("Task loss, nats", seen.stored.circuit_loss, f"model {seen.stored.model_loss:.4f}")
    st.info(
        "**Click a node**, or the middle of a line, for what its ablation cost when the file was "
        "made. **Shift+click** collects several.",
        icon=":material/ads_click:",
    )


def _each_alone(seen: StoredScene, nodes: Sequence[Node], edges: Sequence[StoredEdge]) -> None:
    st.markdown("##### Each alone, stored", help=STORED_HELP)
    for node in nodes:
        st.markdown(f"`{node}` {signed(seen.deltas[node], 4)} nats")
    for edge in edges:
        st.markdown(f"`{seen.edge_name(edge)}` {signed(edge.delta, 4)} nats")
    st.caption("The file has no loss for these together; with the model here it is run.")


def _node(seen: StoredScene, node: Node) -> None:
    st.markdown(f"##### Without `{node}`")
    _cost(seen, seen.stored.node_losses[node])
    parts.place(seen, node)
    bias = seen.biases.get(node)
    if bias is not None and bias.weight:
        st.caption(
            f"Bias {signed(bias.weight)}, stored {signed(bias.delta, 4)} nats without it; biases "
            "are no edges."
        )
    _neighbours(seen, node, "Fed by", seen.wiring.into(node))
    _neighbours(seen, node, "Feeds", seen.wiring.out_of(node))


def _edge(seen: StoredScene, edge: StoredEdge) -> None:
    st.markdown(f"##### Without `{seen.edge_name(edge)}`")
    _cost(seen, seen.stored.circuit_loss + edge.delta)
    parts.edge(seen, edge)


def _cost(seen: StoredScene, loss: float) -> None:
    whole = seen.stored.circuit_loss
    _loss("Task loss, nats, stored", loss, f"{signed(loss - whole, 4)} from {whole:.4f}")


def _loss(label: str, loss: float, beside: str) -> None:
    st.metric(
        label,
        f"{loss:.4f}",
        beside,
        delta_color="off",
        delta_arrow="off",
        width="content",
        help=STORED_HELP,
    )


def _neighbours(seen: StoredScene, node: Node, title: str, near: Sequence[Neighbour]) -> None:
    st.markdown(
        f"**{title}** ({len(near)})",
        help="Weights, strongest first, with the stored rise of the loss without that edge; then "
        "links, which have no weight of their own. Click one to go there.",
    )
    names: dict[bool, list[Neighbour]] = defaultdict(list)
    for place, neighbour in enumerate(near):
        names[place < _FIRST_FEW].append(neighbour)
    _buttons(seen, node, title, names[True])
    if names[False]:
        with st.expander(f"{len(names[False])} more"):
            _buttons(seen, node, title, names[False])


def _buttons(seen: StoredScene, node: Node, title: str, near: Iterable[Neighbour]) -> None:
    with st.container(gap=None):
        for neighbour in near:
            st.button(
                f"`{neighbour.node}` {_by(seen, node, neighbour)}",
                key=f"{title} {neighbour.node} {neighbour.by}",
                type="tertiary",
                on_click=state.choose,
                args=(seen, (neighbour.node,)),
            )


def _by(seen: StoredScene, node: Node, neighbour: Neighbour) -> str:
    if neighbour.weight is None:
        return f"by {neighbour.by}"
    edge = seen.wiring.edge_between(node, neighbour.node)
    delta = seen.edge_deltas[str(edge)]
    return f"weight {signed(neighbour.weight)}, stored {signed(delta, 4)} nats"
