"""A circuit from its file alone: what was measured when it was made, without the model."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import streamlit as st

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.circuits.edges import Edge, attention_links, residual_links
from circuit_sparsity.circuits.wiring import Neighbour, Wiring
from circuit_sparsity.model import GPTConfig
from circuit_sparsity.names import Node
from circuit_sparsity.opening import open_stored
from circuit_sparsity.plots.colours import palette
from circuit_sparsity.plots.graph import Figure
from circuit_sparsity.plots.layout import Layout, lay_out
from circuit_sparsity.plots.shaded_graph import cost, shaded_figure
from circuit_sparsity.plots.words import place_in_words, signed
from circuit_sparsity.release import StoredCircuit
from circuit_sparsity.store import Store
from circuit_sparsity.ui import blocks, cached, graph, history, messages, state, table
from circuit_sparsity.ui.cached import Sight, Stamp
from circuit_sparsity.ui.pickers import Choice

STORED_HELP = (
    "Stored: as the circuit's file has it, measured by whoever made it, on the prompts in the "
    "file. In nats per sequence: the file's doubled losses are halved."
)
_FIRST_FEW = 12  # neighbours shown before one asks for the rest


@dataclass(frozen=True, eq=False)
class StoredScene:
    """A stored circuit with all that drawing it takes."""

    stored: StoredCircuit
    wiring: Wiring
    layout: Layout

    @property
    def circuit(self) -> Circuit:
        return self.stored.circuit

    @property
    def config(self) -> GPTConfig:
        return self.stored.config

    @cached_property
    def deltas(self) -> Mapping[Node, float]:
        """Rise of the loss when a node is ablated too, nats per sequence."""
        return {node: self.stored.node_delta(node) for node in self.circuit.node_list}

    @cached_property
    def edge_deltas(self) -> Mapping[tuple[Node, Node], float]:
        return {(edge.source, edge.target): edge.delta for edge in self.stored.edges}


def scene(choice: Choice) -> StoredScene:
    """The chosen circuit's file, read the first time. Raises what `open_stored` raises."""
    path = Store.from_environment().path_of_viz(*choice)
    return _scene(choice, cached.stamp(path))


def page(seen: StoredScene, below: Callable[[], None] = lambda: None) -> None:
    """Graph, numbers, the picked nodes and the table; every number is a stored one.

    ``below`` is drawn under the table, and again whenever the picked nodes change.
    """
    task = seen.circuit.task
    st.markdown(
        f"**{messages.plain(task)}**: every number below is **stored**, measured by whoever made "
        "the file. Nothing is run here."
    )
    _explore(seen, below)


@st.cache_resource(max_entries=24, show_spinner="Reading the circuit …")
def _scene(choice: Choice, version: Stamp) -> StoredScene:
    stored = open_stored(Store.from_environment(), *choice)
    circuit, d_head = stored.circuit, stored.config.d_head
    wired = Wiring(
        circuit.node_list,
        tuple(Edge(edge.source, edge.target, edge.weight) for edge in stored.edges),
        residual_links(circuit),
        attention_links(circuit, d_head),
    )
    joins = [(edge.source, edge.target) for edge in wired.edges]
    return StoredScene(stored, wired, lay_out(wired.nodes, joins, d_head))


@st.cache_resource(max_entries=32, show_spinner=False)
def _figure(
    _seen: StoredScene,
    _shown: Sight,
    identity: int,
    theme: str | None,
    baked: tuple[Node | Edge, ...],
) -> Figure:
    drawn = (_shown.wiring, _shown.layout, _shown.config)
    return shaded_figure(*drawn, cost(_seen.deltas, "stored"), palette(theme), baked)


@st.fragment
def _explore(seen: StoredScene, below: Callable[[], None]) -> None:
    with messages.in_place():
        circuit = seen.circuit
        state.prepare(seen)
        history.follow(seen)
        messages.unknown_nodes(state.unknown_nodes(), circuit.title)
        left, right = st.columns([0.66, 0.34], gap="medium")
        with left:
            shown = blocks.chosen(seen)
            graph.draw(
                seen, lambda _, __, *look: _figure(seen, shown, cached.identity(shown), *look)
            )
            st.caption(
                "Nodes: blue to orange by the stored rise of the loss when that node alone is "
                "ablated; hover for the number."
            )
        with right:
            st.markdown(
                f"**{circuit.size:,}** of {seen.stored.total_nodes:,} nodes · "
                f"**{len(seen.stored.edges):,}** edges",
                help="Edges are the nonzero weights between kept nodes.",
            )
            table.search_field(seen)
            _inspector(seen, state.picked(seen))
        with st.expander(f"All {circuit.size} nodes as a table", icon=":material/table:"):
            deltas = [seen.deltas[node] for node in seen.wiring.nodes]
            table.nodes(seen, {"stored rise of the loss, nats": deltas})
        below()


def _inspector(seen: StoredScene, nodes: Sequence[Node]) -> None:
    if not nodes:
        st.markdown("##### The circuit as it is, stored", help=STORED_HELP)
        st.metric(
            "Task loss, nats",
            f"{seen.stored.circuit_loss:.4f}",
            f"model {seen.stored.model_loss:.4f}",
            delta_color="off",
            delta_arrow="off",
            width="content",
            help=STORED_HELP,
        )
        st.info(
            "**Click a node** for what its ablation cost when the file was made, and for its "
            "neighbours. **Shift+click** collects several.",
            icon=":material/ads_click:",
        )
    elif len(nodes) == 1:
        _node(seen, nodes[0])
    else:
        st.markdown("##### Each alone, stored", help=STORED_HELP)
        for node in nodes:
            st.markdown(f"`{node}` {signed(seen.deltas[node], 4)} nats")
        st.caption("The file has no loss for these together; with the model here it is run.")


def _node(seen: StoredScene, node: Node) -> None:
    place = place_in_words(node, seen.config)
    st.markdown(f"##### Without `{node}`")
    st.metric(
        "Task loss, nats, stored",
        f"{seen.stored.node_losses[node]:.4f}",
        f"{signed(seen.deltas[node], 4)} from {seen.stored.circuit_loss:.4f}",
        delta_color="off",
        delta_arrow="off",
        width="content",
        help=STORED_HELP,
    )
    st.markdown(f"{place[0].upper()}{place[1:]}.")
    _neighbours(seen, node, "Fed by", seen.wiring.into(node))
    _neighbours(seen, node, "Feeds", seen.wiring.out_of(node))


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
    deltas, other = seen.edge_deltas, neighbour.node
    delta = deltas.get((node, other), deltas.get((other, node), 0.0))
    return f"weight {signed(neighbour.weight)}, stored {signed(delta, 4)} nats"
