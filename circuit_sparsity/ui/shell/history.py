"""What was changed before: undo, redo, and back to any moment since the circuit was opened."""

from collections.abc import Sequence

import streamlit as st

from circuit_sparsity.circuits.recipe import Recipe
from circuit_sparsity.ui.shell import state
from circuit_sparsity.ui.shell.cached import Sight

_PAST, _FUTURE, _NOW, _CIRCUIT = "past", "future", "recipe now", "circuit of the past"
_LONGEST = 100  # moments that are kept


def follow(scene: Sight) -> None:
    """Note what changed since the last run, wherever it came from; call after `state.prepare`."""
    now = state.recipe()
    if st.session_state.get(_CIRCUIT) != scene.circuit.title:
        st.session_state[_CIRCUIT] = scene.circuit.title
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


def undo(scene: Sight) -> None:
    """One step back; nothing where there is none."""
    if past():
        go_back(scene, len(past()) - 1)


def go_back(scene: Sight, moment: int) -> None:
    """To one of the `past`; what came after it can be done again."""
    line = [*past(), st.session_state[_NOW], *reversed(future())]
    _go(scene, line, moment)


def redo(scene: Sight) -> None:
    """What was undone last, again."""
    if future():
        line = [*past(), st.session_state[_NOW], *reversed(future())]
        _go(scene, line, len(past()) + 1)


def _go(scene: Sight, line: Sequence[Recipe], moment: int) -> None:
    st.session_state[_PAST] = list(line[:moment])
    st.session_state[_NOW] = line[moment]
    st.session_state[_FUTURE] = list(reversed(line[moment + 1 :]))
    state.follow_recipe(scene, line[moment])


def buttons(scene: Sight) -> None:
    """Undo, redo, reset."""
    with st.container(horizontal=True, gap="small"):
        for name, icon, act, able, say in (
            ("Undo", "undo", undo, bool(past()), "One change back. Key: U"),
            ("Redo", "redo", redo, bool(future()), "What was undone, again. Key: Shift+U"),
            ("Restore all", "restart_alt", _reset, bool(len(state.recipe())), "Change nothing."),
        ):
            st.button(
                name,
                icon=f":material/{icon}:",
                disabled=not able,
                help=say,
                on_click=act,
                args=(scene,),
            )


def _reset(scene: Sight) -> None:
    state.choose(scene, ())
