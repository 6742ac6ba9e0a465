"""What was changed before: undo, redo, and back to any moment since the circuit was opened."""

from collections.abc import Sequence

import streamlit as st

from circuit_sparsity.circuits.recipe import Recipe
from circuit_sparsity.ui.shell import state
from circuit_sparsity.ui.shell.cached import CircuitView

_PAST, _FUTURE, _NOW, _CIRCUIT = "past", "future", "recipe now", "circuit of the past"
_LONGEST = 100  # moments that are kept


def follow(view: CircuitView) -> None:
    """Note what changed since the last run, wherever it came from; call after `state.prepare`."""
    now = state.recipe()
    if st.session_state.get(_CIRCUIT) != view.circuit.title:
        st.session_state[_CIRCUIT] = view.circuit.title
        st.session_state[_PAST], st.session_state[_FUTURE] = [], []
    elif now != st.session_state[_NOW]:
        st.session_state[_PAST] = [*past(), st.session_state[_NOW]][-_LONGEST:]
        st.session_state[_FUTURE] = []
    st.session_state[_NOW] = now


def past() -> Sequence[Recipe]:
    """Earlier recipes, the oldest first."""
    return st.session_state.get(_PAST, [])


def future() -> Sequence[Recipe]:
    """Recipes that were undone, the next to redo last."""
    return st.session_state.get(_FUTURE, [])


def undo(view: CircuitView) -> None:
    """One step back; nothing where there is none."""
    if past():
        go_back(view, len(past()) - 1)


def go_back(view: CircuitView, moment: int) -> None:
    """To one of the `past`; what came after it can be done again."""
    line = [*past(), st.session_state[_NOW], *reversed(future())]
    _go(view, line, moment)


def redo(view: CircuitView) -> None:
    """What was undone last, again."""
    if future():
        line = [*past(), st.session_state[_NOW], *reversed(future())]
        _go(view, line, len(past()) + 1)


def _go(view: CircuitView, line: Sequence[Recipe], moment: int) -> None:
    st.session_state[_PAST] = list(line[:moment])
    st.session_state[_NOW] = line[moment]
    st.session_state[_FUTURE] = list(reversed(line[moment + 1 :]))
    state.follow_recipe(view, line[moment])


def buttons(view: CircuitView) -> None:
    """Undo, redo, reset."""
    with st.container(horizontal=True, gap="small"):
        for name, icon, act, able, say in (
            ("Undo", "undo", undo, bool(past()), "Undo the last change. Key: U"),
            ("Redo", "redo", redo, bool(future()), "Redo what was undone. Key: Shift+U"),
            ("Restore all", "restart_alt", _reset, bool(len(state.recipe())), "Undo every change."),
        ):
            st.button(
                name,
                icon=f":material/{icon}:",
                disabled=not able,
                help=say,
                on_click=act,
                args=(view,),
            )


def _reset(view: CircuitView) -> None:
    state.choose(view, ())
