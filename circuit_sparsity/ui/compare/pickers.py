"""Which circuit is B: pickers over the circuits here whose model has the shape of that of A."""

from collections.abc import Sequence

import streamlit as st

from circuit_sparsity.core.checkpoint import read_config
from circuit_sparsity.core.model import GPTConfig
from circuit_sparsity.store import Row, Store, paths
from circuit_sparsity.ui.circuit import stored
from circuit_sparsity.ui.shell import cached, pickers
from circuit_sparsity.ui.shell.address import bound
from circuit_sparsity.ui.shell.cached import Stamp
from circuit_sparsity.ui.shell.messages import plain
from circuit_sparsity.ui.shell.pickers import PARTS, Choice

_KEPT = "compared with"
_KEYS = {part: f"b_{part}" for part in PARTS}
_LABELS = {"model": "Model of B", "task": "Task of B", "sweep": "Sweep of B", "k": "k of B"}


def other(choice: Choice) -> Choice | None:
    """The circuit that the pickers say; None, with a word, when there is no other one here."""
    rows = _comparable(choice)
    if not rows:
        st.info(
            "**No other circuit of a model of this shape is on this machine.** The library "
            "downloads more; the prune page finds another one of this model.",
            icon=":material/info:",
        )
        return None
    _trouble(rows)
    wanted = _default(choice, rows)
    picked: list[str] = []
    for part, column in zip(PARTS, st.columns([0.2, 0.34, 0.18, 0.28]), strict=True):
        with column:
            value = _picker(part, list(dict.fromkeys(getattr(row, part) for row in rows)), wanted)
        picked.append(value)
        rows = [row for row in rows if getattr(row, part) == value]
    st.session_state[_KEPT] = found = Choice(*picked)
    return found


def swap(choice: Choice, with_: Choice) -> None:
    """B in the sidebar and A in the pickers, from a callback."""
    pickers.go_to(with_)
    for part, value in zip(PARTS, choice, strict=True):
        st.session_state[_KEYS[part]] = value


def _picker(part: str, options: Sequence[str], wanted: Choice) -> str:
    key = _KEYS[part]
    asked = st.session_state.get(key, st.query_params.get(key))
    if asked not in options:
        fitting = getattr(wanted, part)
        asked = fitting if fitting in options else options[0]
    if st.session_state.get(key) != asked:
        st.session_state[key] = st.query_params[key] = asked
    # No index: a value that is the widget's default would stay out of the address.
    chosen = st.selectbox(_LABELS[part], options, index=None, **bound(key))
    return chosen if chosen is not None else options[0]


def _trouble(rows: Sequence[Row]) -> None:
    """Say what a link asks for and nobody can compare with."""
    asked = [st.query_params.get(key) for key in _KEYS.values()]
    fresh = not any(key in st.session_state for key in _KEYS.values())
    known = {(row.model, row.task, row.sweep, row.k) for row in rows}
    if fresh and all(asked) and tuple(asked) not in known:
        st.warning(
            f"The link compares with {plain(' · '.join(map(str, asked)))}, which is not on this "
            "machine or of another shape; this is another one.",
            icon=":material/link_off:",
        )


def _default(choice: Choice, rows: Sequence[Row]) -> Choice:
    """The last choice while it fits; else as much like A as there is."""
    kept = st.session_state.get(_KEPT)
    if kept is not None and any(_choice(row) == kept for row in rows):
        return kept
    return max(map(_choice, rows), key=lambda one: _alike(choice, one))


def _alike(one: Choice, other: Choice) -> tuple[bool, bool, bool]:
    return one.model == other.model, one.task == other.task, one.sweep == other.sweep


def _choice(row: Row) -> Choice:
    return Choice(row.model, row.task, row.sweep, row.k)


def _comparable(choice: Choice) -> list[Row]:
    """Circuits here, but for A itself, whose model has A's shape."""
    rows = [row for row in Store.from_environment().rows() if row.where != "remote"]
    shape = _shape(stored.scene(choice).config)
    others = [row for row in rows if _choice(row) != choice]
    alike = {name for name in {row.model for row in others} if _config_shape(name, rows) == shape}
    return [row for row in others if row.model in alike]


def _config_shape(model: str, rows: Sequence[Row]) -> tuple[object, ...] | None:
    """From the model's own file, or where it is not here from its first circuit; None: damaged."""
    try:
        folder = Store.from_environment().path_of_model(model)
        if folder is not None:
            return _shape(_config(model, cached.stamp(folder / paths.CONFIG)))
        first = next(row for row in rows if row.model == model)
        return _shape(stored.scene(_choice(first)).config)
    except (ValueError, OSError):
        return None


@st.cache_resource(max_entries=64, show_spinner=False)
def _config(model: str, version: Stamp) -> GPTConfig:
    folder = Store.from_environment().path_of_model(model)
    assert folder is not None, f"{model} was here a moment ago"
    return read_config(folder / paths.CONFIG)


def _shape(config: GPTConfig) -> tuple[object, ...]:
    """What gives nodes their names: two models of one shape have the same nodes."""
    return (
        config.n_layer,
        config.d_model,
        config.d_mlp,
        config.n_head,
        config.d_head,
        config.d_pos_emb or 0,
    )
