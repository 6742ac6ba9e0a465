"""The sidebar's choices: model, task, sweep, k. The address bar follows them."""

from collections.abc import Sequence
from typing import NamedTuple

import streamlit as st

from circuit_sparsity.store import ModelRow, Row, Store
from circuit_sparsity.store.progress import size_in_words
from circuit_sparsity.ui.shell.address import bound
from circuit_sparsity.ui.shell.messages import plain

PARTS = ("model", "task", "sweep", "k")
_LABELS = {
    "model": ("Model", "A trained transformer whose weights are mostly zero."),
    "task": ("Task", "The two-way question about the next token that the circuit answers."),
    "sweep": ("Sweep", "One run, or one series of runs, of the search for circuits."),
    "k": ("k", "Which circuit of the sweep: usually the number of nodes it keeps."),
}
_TROUBLE = "link trouble"


class Choice(NamedTuple):
    """The four names of a circuit."""

    model: str
    task: str
    sweep: str
    k: str


# The circuit to begin with, where it is here: the smallest that ships with a low loss.
_FIRST = Choice("starter", "single_double_quote", "prune", "k44_seed0")
# The circuit that the tour explains: the fewest nodes, so that each can be pointed at.
TOUR = Choice("starter", "single_double_quote", "full", "k24_seed0_full")


def sidebar() -> None:
    """Draw the pickers, over what is here and what is known; what they chose is `chosen()`."""
    store = Store.from_environment()
    rows, models = store.rows(), store.models()
    asked = {part: st.query_params.get(part) for part in PARTS}
    with st.sidebar:
        for place, part in enumerate(PARTS):
            options = _model_options(rows, models) if part == "model" else _options(rows, part)
            value = _picker(part, options, asked[part], rows) if options else None
            if value is None:
                _leave_open(PARTS[place:])
                return
            rows = [row for row in rows if getattr(row, part) == value]
        runs = any(model.name == rows[0].model and model.where != "remote" for model in models)
        st.caption(_where(rows[0], runs))


def chosen() -> Choice | None:
    """What the sidebar says; None when there is nothing to choose from."""
    values = [st.session_state.get(part) for part in PARTS]
    return None if None in values else Choice(*values)  # type: ignore[arg-type]


def chosen_model() -> str | None:
    """The model that the sidebar says, with or without circuits."""
    return st.session_state.get("model")


def go_to(choice: Choice) -> None:
    """Choose a circuit, from a callback: the sidebar shows it on the next run."""
    for part, value in zip(PARTS, choice, strict=True):
        st.session_state[part] = value
    _forget()


def link_trouble() -> None:
    """Say here what the address asked for and nobody knows of."""
    for part, value in st.session_state.get(_TROUBLE, {}).items():
        st.warning(
            f"The link asks for the {part} “{plain(value)}”, which is neither on this machine nor "
            f"known to be in the container; this is “{plain(str(st.session_state[part]))}” in its "
            "place. The library can refresh the list, and download what is named in full.",
            icon=":material/link_off:",
        )


def _picker(
    part: str, options: Sequence[str], asked: str | None, rows: Sequence[Row]
) -> str | None:
    if part not in st.session_state and asked not in options:
        if asked is not None:
            st.session_state.setdefault(_TROUBLE, {})[part] = asked
        _set(part, _default(part, options, rows))
    elif st.session_state.get(part, asked) not in options:
        st.session_state[part] = _default(part, options, rows)
    label, meaning = _LABELS[part]
    return st.selectbox(
        label,
        options,
        index=None,
        **bound(part),
        help=meaning,
        on_change=_forget,
        placeholder="Choose …",
    )


def _set(part: str, value: str | None) -> None:
    """Choose before the widget is drawn."""
    st.session_state[part] = value
    if value is not None:  # written here: a value set before the first run stays out of the address
        st.query_params[part] = value


def _leave_open(parts: Sequence[str]) -> None:
    """Nothing is chosen from these on: a choice of another model's must not linger."""
    for part in parts[1:]:
        st.session_state.pop(part, None)


def _default(part: str, options: Sequence[str], rows: Sequence[Row]) -> str | None:
    """What is here before what would have to be fetched; no model at all when nothing is here."""
    here = [getattr(row, part) for row in rows if row.where != "remote"]
    first = getattr(_FIRST, part)
    if first in here:
        return first
    if part == "model":
        return next((name for name in options if name in here), None)
    return here[0] if here else options[0]


def _options(rows: Sequence[Row], part: str) -> list[str]:
    return list(dict.fromkeys(getattr(row, part) for row in rows))


def _model_options(rows: Sequence[Row], models: Sequence[ModelRow]) -> list[str]:
    """Models with circuits here, then those that are here without one, then the others."""
    circuits = {row.model for row in rows if row.where != "remote"}
    whole = {model.name for model in models if model.where != "remote"}
    names = dict.fromkeys([*(row.model for row in rows), *(model.name for model in models)])
    return sorted(names, key=lambda name: (name not in circuits, name not in whole))


def _where(row: Row, runs: bool) -> str:
    here = {"remote": "not here", "cached": "downloaded", "local": "made here", "shipped": "ships"}
    size = f", {size_in_words(row.size)}" if row.size is not None else ""
    return f"Circuit: {here[row.where]}{size}. Model: {'here' if runs else 'not here'}."


def _forget() -> None:
    st.session_state.pop(_TROUBLE, None)
