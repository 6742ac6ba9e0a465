"""Circuits and models that are open, made once for all sessions; all are frozen.

Keys hold the size and time of the files read, so a file that is replaced is read again.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Protocol, runtime_checkable
from weakref import WeakKeyDictionary

import streamlit as st

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.circuits.edges import Edge, attention_links, residual_links
from circuit_sparsity.circuits.wiring import Wiring, wiring
from circuit_sparsity.core.model import GPT, GPTConfig
from circuit_sparsity.core.names import Node
from circuit_sparsity.core.tokenizer import Tokenizer
from circuit_sparsity.experiment.experiment import Experiment
from circuit_sparsity.experiment.opening import (
    experiment_of,
    means_for,
    open_model,
    open_stored,
    open_tokenizer,
)
from circuit_sparsity.plots.layout import GraphLayout, lay_out
from circuit_sparsity.release import StoredBias, StoredCircuit, StoredEdge
from circuit_sparsity.runtime.warm_up import warm_up
from circuit_sparsity.store import Store
from circuit_sparsity.ui.shell import answers, device
from circuit_sparsity.ui.shell.pickers import Choice
from circuit_sparsity.ui.shell.shared import shared

Stamp = tuple[str, int, int] | None  # path, size, time of change


@runtime_checkable
class CircuitView(Protocol):
    """What drawing a circuit takes, whether it can be run or is only stored."""

    @property
    def circuit(self) -> Circuit: ...
    @property
    def config(self) -> GPTConfig: ...
    @property
    def wiring(self) -> Wiring: ...
    @property
    def layout(self) -> GraphLayout: ...


@dataclass(frozen=True, eq=False)
class LiveView:
    """A circuit with all that its page needs."""

    choice: Choice
    experiment: Experiment
    wiring: Wiring
    layout: GraphLayout

    @property
    def circuit(self) -> Circuit:
        return self.experiment.circuit

    @property
    def config(self) -> GPTConfig:
        return self.experiment.model.config


def live(choice: Choice) -> LiveView:
    """The chosen circuit, read from disk the first time. Raises what `open_circuit` raises."""
    store = Store.from_environment()
    stamps = (
        stamp(store.path_of_viz(*choice)),
        stamp(store.path_of_means(choice.model)),
        *_model_stamps(store, choice.model),
    )
    return _live(choice, stamps, answers.chosen(choice), device.chosen())


def model(name: str) -> GPT:
    """A model that is here, read from disk the first time, on the device of this session."""
    return _model(name, _model_stamps(Store.from_environment(), name), device.chosen())


def tokenizer(model: str) -> Tokenizer:
    """The tokenizer of a model."""
    folder = Store.from_environment().path_of_tokenizer(model)
    return _tokenizer(model, stamp(folder and folder / "vocab.bpe"))


def identity(live: CircuitView) -> int:
    """A number that no other live of this process has: what is drawn of it is kept under it."""
    return _identities.setdefault(live, next(_numbers))


_identities: WeakKeyDictionary[CircuitView, int] = WeakKeyDictionary()
_numbers = count()


@shared("Reading the circuit …")
def stored_circuit(choice: Choice, version: Stamp) -> StoredCircuit:
    """What the file of a circuit holds, in the version that `stamp` tells of."""
    return open_stored(Store.from_environment(), *choice)


def file_of(choice: Choice) -> StoredCircuit:
    """What the chosen circuit's file holds now, read the first time."""
    return stored_circuit(choice, stamp(Store.from_environment().path_of_viz(*choice)))


@shared("Opening the circuit …")
def _live(
    choice: Choice, stamps: tuple[Stamp, ...], answers: tuple[str, str] | None, device: str
) -> LiveView:
    store = Store.from_environment()
    stored = stored_circuit(choice, stamps[0])
    model = _model(choice.model, stamps[2:], device)
    means = means_for(store, stored.circuit)
    experiment = experiment_of(store, stored, model, means, answers)
    wired = wiring(experiment.circuit, model)
    joins = [(edge.source, edge.target) for edge in wired.edges]
    return LiveView(choice, experiment, wired, lay_out(wired.nodes, joins, model.config.d_head))


@shared("Reading the model …")
def _model(name: str, stamps: tuple[Stamp, ...], device: str) -> GPT:
    _kernels_are_compiled()
    return open_model(Store.from_environment(), name, device=device)


@st.cache_resource(
    show_spinner="Compiling the arithmetic for this machine (only once, up to a minute) …"
)
def _kernels_are_compiled() -> None:
    warm_up()


@shared()
def _tokenizer(model: str, version: Stamp) -> Tokenizer:
    return open_tokenizer(Store.from_environment(), model)


def _model_stamps(store: Store, name: str) -> tuple[Stamp, ...]:
    folder = store.path_of_model(name)
    return () if folder is None else tuple(stamp(file) for file in sorted(folder.iterdir()))


def stamp(path: Path | None) -> Stamp:
    """What tells a file's versions apart; None for no file."""
    if path is None or not path.exists():
        return None
    known = path.stat()
    return str(path), known.st_size, known.st_mtime_ns


STORED_HELP = (
    "Stored: as the circuit's file has it, measured by whoever made it, on the prompts in the "
    "file. In nats per sequence: the file's doubled losses are halved."
)


@dataclass(frozen=True, eq=False)
class StoredView:
    """A stored circuit with all that drawing it takes. Deltas are in nats per sequence."""

    stored: StoredCircuit
    wiring: Wiring
    layout: GraphLayout

    @property
    def circuit(self) -> Circuit:
        return self.stored.circuit

    @property
    def config(self) -> GPTConfig:
        return self.stored.config

    @cached_property
    def deltas(self) -> Mapping[Node, float]:
        """Rise of the loss when a node is ablated too; NaN for one that is not stored."""
        stored = self.stored
        return {
            node: stored.node_losses.get(node, math.nan) - stored.circuit_loss
            for node in self.circuit.node_list
        }

    @property
    def tells_costs(self) -> bool:
        """Whether the file stores what each node and edge costs."""
        return not any(map(math.isnan, (*self.deltas.values(), *self.edge_deltas.values())))

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


def stored(choice: Choice) -> StoredView:
    """The chosen circuit's file, read the first time. Raises what `open_stored` raises."""
    path = Store.from_environment().path_of_viz(*choice)
    return _stored_view(choice, stamp(path))


@shared()
def _stored_view(choice: Choice, version: Stamp) -> StoredView:
    stored = stored_circuit(choice, version)
    circuit, d_head = stored.circuit, stored.config.d_head
    wired = Wiring(
        circuit.node_list,
        tuple(Edge(edge.source, edge.target, edge.weight) for edge in stored.edges),
        residual_links(circuit),
        attention_links(circuit, d_head),
    )
    joins = [(edge.source, edge.target) for edge in wired.edges]
    return StoredView(stored, wired, lay_out(wired.nodes, joins, d_head))
