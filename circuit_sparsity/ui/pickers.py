"""The sidebar's choices: model, task, sweep, k. The address bar follows them."""

from collections.abc import Sequence
from typing import NamedTuple

import streamlit as st

from circuit_sparsity.store import Row, Store
from circuit_sparsity.ui.messages import plain

PARTS = ("model", "task", "sweep", "k")
_LABELS = {
    "model": ("Model", "A trained transformer whose weights are mostly zero."),
    "task": ("Task", "The two-way question about the next token that the circuit answers."),
    "sweep": ("Sweep", "One run, or one series of runs, of the search for circuits."),
    "k": ("k", "Which circuit of the sweep: usually the number of nodes it keeps."),
}
_FIRST = "starter"  # the model to begin with, where it is here
_TROUBLE = "link trouble"


class Choice(NamedTuple):
    """The four names of a circuit."""

    model: str
    task: str
    sweep: str
    k: str


def sidebar() -> None:
    """Draw the pickers; what they chose is `chosen()`."""
    rows = [row for row in Store.from_environment().rows() if row.where != "remote"]
    asked = {part: st.query_params.get(part) for part in PARTS}
    with st.sidebar:
        for part in PARTS:
            options = _options(rows, part)
            if not options:
                return
            value = _picker(part, options, asked[part])
            rows = [row for row in rows if getattr(row, part) == value]


def chosen() -> Choice | None:
    """What the sidebar says; None when there is nothing to choose from."""
    values = [st.session_state.get(part) for part in PARTS]
    return None if None in values else Choice(*values)  # type: ignore[arg-type]


def link_trouble() -> None:
    """Say here what the address asked for and is not on this machine."""
    for part, value in st.session_state.get(_TROUBLE, {}).items():
        st.warning(
            f"The link asks for the {part} “{plain(value)}”, which is not on this machine; this is "
            f"“{plain(st.session_state[part])}” in its place. `python -m circuit_sparsity list` "
            "shows what there is and what can be downloaded.",
            icon=":material/link_off:",
        )


def _picker(part: str, options: Sequence[str], asked: str | None) -> str:
    if part not in st.session_state and asked not in options:
        if asked is not None:
            st.session_state.setdefault(_TROUBLE, {})[part] = asked
        # Written here because a value that is set before the first run stays out of the address.
        st.query_params[part] = st.session_state[part] = _default(part, options)
    elif st.session_state.get(part, asked) not in options:
        st.session_state[part] = _default(part, options)
    label, meaning = _LABELS[part]
    value = st.selectbox(
        label, options, index=None, key=part, help=meaning, bind="query-params", on_change=_forget
    )
    return value or options[0]


def _default(part: str, options: Sequence[str]) -> str:
    return _FIRST if part == "model" and _FIRST in options else options[0]


def _options(rows: Sequence[Row], part: str) -> list[str]:
    return list(dict.fromkeys(getattr(row, part) for row in rows))


def _forget() -> None:
    st.session_state.pop(_TROUBLE, None)
