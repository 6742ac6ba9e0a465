"""A stored circuit as a value that pages draw: read once, kept for all sessions."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import streamlit as st

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.circuits.edges import Edge, attention_links, residual_links
from circuit_sparsity.circuits.wiring import Wiring
from circuit_sparsity.core.model import GPTConfig
from circuit_sparsity.core.names import Node
from circuit_sparsity.plots.layout import Layout, lay_out
from circuit_sparsity.release import StoredBias, StoredCircuit, StoredEdge
from circuit_sparsity.store import Store
from circuit_sparsity.ui.shell import cached
from circuit_sparsity.ui.shell.cached import Stamp
from circuit_sparsity.ui.shell.pickers import Choice

STORED_HELP = (
    "Stored: as the circuit's file has it, measured by whoever made it, on the prompts in the "
    "file. In nats per sequence: the file's doubled losses are halved."
)


@dataclass(frozen=True, eq=False)
class StoredScene:
    """A stored circuit with all that drawing it takes. Deltas are in nats per sequence."""

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
        """Rise of the loss when a node is ablated too."""
        return {node: self.stored.node_delta(node) for node in self.circuit.node_list}

    @cached_property
    def edge_deltas(self) -> Mapping[str, float]:
        """Rise of the loss when an edge is ablated, by the edge's name."""
        return {self.edge_name(edge): edge.delta for edge in self.stored.edges}

    @cached_property
    def biases(self) -> Mapping[Node, StoredBias]:
        """The stored biases of kept nodes."""
        matrices = self.stored.edge_matrices
        return {bias.target: bias for matrix in matrices for bias in matrix.biases}

    @staticmethod
    def edge_name(edge: StoredEdge) -> str:
        """As the graph, the tables and the address name it."""
        return str(Edge(edge.source, edge.target, edge.weight))


def scene(choice: Choice) -> StoredScene:
    """The chosen circuit's file, read the first time. Raises what `open_stored` raises."""
    path = Store.from_environment().path_of_viz(*choice)
    return _scene(choice, cached.stamp(path))


@st.cache_resource(max_entries=24, show_spinner=False)
def _scene(choice: Choice, version: Stamp) -> StoredScene:
    stored = cached.stored_circuit(choice, version)
    circuit, d_head = stored.circuit, stored.config.d_head
    wired = Wiring(
        circuit.node_list,
        tuple(Edge(edge.source, edge.target, edge.weight) for edge in stored.edges),
        residual_links(circuit),
        attention_links(circuit, d_head),
    )
    joins = [(edge.source, edge.target) for edge in wired.edges]
    return StoredScene(stored, wired, lay_out(wired.nodes, joins, d_head))
