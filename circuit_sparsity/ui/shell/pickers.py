"""The sidebar's choices: model, task, sweep, k. The address bar follows them."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from circuit_sparsity.store import ModelRow, Row, Store, paths
from circuit_sparsity.store.progress import size_in_words
from circuit_sparsity.ui.shell import names
from circuit_sparsity.ui.shell.address import write
from circuit_sparsity.ui.shell.messages import code, plain

PARTS = ("model", "task", "sweep", "k")
_LABELS = {
    "model": ("Model", "A trained transformer whose weights are mostly zero."),
    "task": ("Task", "The two-way question about the next token that the circuit answers."),
    "sweep": ("Found by", "A sweep: one run, or one series of runs, of the search for circuits."),
    "k": (
        "Circuit",
        "Which circuit of the sweep (k): the nodes it keeps, and its loss on test prompts.",
    ),
}
_TROUBLE = "link trouble"


class Choice(NamedTuple):
    """The four names of a circuit."""

    model: str
    task: str
    sweep: str
    k: str


# The circuit that the tour explains and the explorer begins with, where it is here: the fewest
# nodes, so that each can be pointed at.
TOUR = Choice("starter", "single_double_quote", "full", "k24_seed0_full")
SECOND = {part: f"b_{part}" for part in PARTS}  # keys and parameters of what it is compared with


def sidebar() -> DeltaGenerator:
    """Draw the pickers, over what is here and what is known; what they chose is `chosen()`.

    Returns the place for `task_in_words`, which is drawn when the page is.
    """
    store = Store.from_environment()
    rows, models = store.rows(), store.models()
    asked = {part: st.query_params.get(part) for part in PARTS}
    asked["model"] = asked["model"] and paths.model_id(asked["model"])
    with st.sidebar:
        for place, part in enumerate(PARTS):
            options = _model_options(rows, models) if part == "model" else _options(rows, part)
            value = _picker(part, options, asked[part], rows) if options else None
            if value is None:
                _leave_open(PARTS[place:])
                return st.container()
            rows = [row for row in rows if getattr(row, part) == value]
        runs = any(model.name == rows[0].model and model.where != "remote" for model in models)
        st.caption(_where(rows[0], runs))
        return st.container()


def task_in_words(place: DeltaGenerator) -> None:
    """What the chosen task asks, with an example of each answer."""
    choice = chosen()
    asks = names.question(choice.task) if choice is not None else ""
    if choice is None or not asks:
        return
    with place:
        st.caption(f"**{asks}**")
        for prompt, answer in names.examples(choice.task):
            st.caption(f"{code(prompt)} → {code(answer)}")


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


def compare_with(choice: Choice) -> None:
    """Choose what the sidebar's circuit is compared with, from a callback."""
    for part, value in zip(PARTS, choice, strict=True):
        st.session_state[SECOND[part]] = value


def link_trouble() -> None:
    """Say here what the address asked for and nobody knows of."""
    for part, value in st.session_state.get(_TROUBLE, {}).items():
        st.warning(
            f"The link asks for the {part} “{plain(value)}”, which is neither on this machine nor "
            f"known to be in the container; this is “{plain(str(st.session_state[part]))}” "
            "instead. The library can refresh the list, and download what you name in full.",
            icon=":material/link_off:",
        )


def _picker(
    part: str, options: Sequence[str], asked: str | None, rows: Sequence[Row]
) -> str | None:
    if part not in st.session_state and asked not in options:
        if asked is not None:
            st.session_state.setdefault(_TROUBLE, {})[part] = asked
        st.session_state[part] = _default(part, options, rows)
    elif st.session_state.get(part, asked) not in options:
        st.session_state[part] = _default(part, options, rows)
    elif part not in st.session_state:
        st.session_state[part] = asked
    label, meaning = _LABELS[part]
    value = st.session_state[part]
    words = names.different(options, called(part, rows))
    own = "" if value is None else f" In links and commands: `{value}`."
    # Not bound to the address, which would then hold what it is called on the screen.
    found = st.selectbox(
        label,
        options,
        index=None if value is None else 0,  # a cross to clear it only where nothing is chosen
        key=part,
        format_func=words.__getitem__,
        help=f"{meaning}{own}",
        on_change=_forget,
        placeholder="Choose …",
    )
    if found is not None:
        write(part, found)
    return found


def called(part: str, rows: Sequence[Row]) -> Callable[[str], str]:
    """What options of this part are called, among these circuits."""
    if part == "task":
        return names.task_name
    if part == "sweep":
        return names.sweep_name
    if part == "k":
        return lambda k: names.circuit_name(rows[0].model, rows[0].task, rows[0].sweep, k)
    return str


def _leave_open(parts: Sequence[str]) -> None:
    """Nothing is chosen from these on: a choice of another model's must not linger."""
    for part in parts[1:]:
        st.session_state.pop(part, None)
    for part in parts:
        st.query_params.pop(part, None)


def _default(part: str, options: Sequence[str], rows: Sequence[Row]) -> str | None:
    """What is here before what would have to be fetched; no model at all when nothing is here."""
    here = [getattr(row, part) for row in rows if row.where != "remote"]
    first = getattr(TOUR, part)
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
