"""Expensive values, made once for all sessions: models, circuits, figures. All are frozen.

Keys hold the size and time of the files read, so a file that is replaced is read again.
"""

from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Protocol, runtime_checkable
from weakref import WeakKeyDictionary

import streamlit as st

from circuit_sparsity.circuits.circuit import Circuit
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
from circuit_sparsity.plots.colours import palette
from circuit_sparsity.plots.graph import Figure, circuit_figure
from circuit_sparsity.plots.layout import Layout, lay_out
from circuit_sparsity.release import StoredCircuit
from circuit_sparsity.runtime.warm_up import warm_up
from circuit_sparsity.store import Store
from circuit_sparsity.ui.shell import answers
from circuit_sparsity.ui.shell.pickers import Choice

Stamp = tuple[str, int, int] | None  # path, size, time of change


@runtime_checkable
class Sight(Protocol):
    """What drawing a circuit takes, whether it can be run or is only stored."""

    @property
    def circuit(self) -> Circuit: ...
    @property
    def config(self) -> GPTConfig: ...
    @property
    def wiring(self) -> Wiring: ...
    @property
    def layout(self) -> Layout: ...


@dataclass(frozen=True, eq=False)
class Scene:
    """A circuit with all that its page needs."""

    choice: Choice
    experiment: Experiment
    wiring: Wiring
    layout: Layout

    @property
    def circuit(self) -> Circuit:
        return self.experiment.circuit

    @property
    def config(self) -> GPTConfig:
        return self.experiment.model.config


def scene(choice: Choice) -> Scene:
    """The chosen circuit, read from disk the first time. Raises what `open_circuit` raises."""
    store = Store.from_environment()
    stamps = (
        stamp(store.path_of_viz(*choice)),
        stamp(store.path_of_means(choice.model)),
        *_model_stamps(store, choice.model),
    )
    return _scene(choice, stamps, answers.chosen(choice))


def model(name: str) -> GPT:
    """A model that is here, read from disk the first time."""
    return _model(name, _model_stamps(Store.from_environment(), name))


def tokenizer(model: str) -> Tokenizer:
    """The tokenizer of a model."""
    folder = Store.from_environment().path_of_tokenizer(model)
    return _tokenizer(model, stamp(folder and folder / "vocab.bpe"))


def identity(scene: Sight) -> int:
    """A number that no other scene of this process has: what is drawn of it is kept under it."""
    return _identities.setdefault(scene, next(_numbers))


_identities: WeakKeyDictionary[Sight, int] = WeakKeyDictionary()
_numbers = count()


@st.cache_resource(max_entries=64, show_spinner=False)
def figure(_scene: Sight, identity: int, theme: str | None, baked: tuple[Node, ...]) -> Figure:
    """The graph of a scene, under its `identity` in the cache."""
    return circuit_figure(_scene.wiring, _scene.layout, _scene.config, palette(theme), baked)


@st.cache_resource(max_entries=24, show_spinner="Reading the circuit …")
def stored_circuit(choice: Choice, version: Stamp) -> StoredCircuit:
    """What the file of a circuit holds, in the version that `stamp` tells of."""
    return open_stored(Store.from_environment(), *choice)


@st.cache_resource(max_entries=24, show_spinner="Opening the circuit …")
def _scene(choice: Choice, stamps: tuple[Stamp, ...], answers: tuple[str, str] | None) -> Scene:
    store = Store.from_environment()
    stored = stored_circuit(choice, stamps[0])
    model = _model(choice.model, stamps[2:])
    means = means_for(store, stored.circuit)
    experiment = experiment_of(store, stored, model, means, answers)
    wired = wiring(experiment.circuit, model)
    joins = [(edge.source, edge.target) for edge in wired.edges]
    return Scene(choice, experiment, wired, lay_out(wired.nodes, joins, model.config.d_head))


@st.cache_resource(max_entries=4, show_spinner="Reading the model …")
def _model(name: str, stamps: tuple[Stamp, ...]) -> GPT:
    _ready()
    return open_model(Store.from_environment(), name)


@st.cache_resource(show_spinner="Preparing the arithmetic for this machine: once, up to a minute …")
def _ready() -> None:
    warm_up()


@st.cache_resource(max_entries=4, show_spinner=False)
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
