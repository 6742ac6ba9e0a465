"""Bridges: an edit found in the sparse model, carried over to a dense one."""

import streamlit as st

from circuit_sparsity.bridges.pair import Pair
from circuit_sparsity.core.tokenizer import Tokenizer
from circuit_sparsity.ui.bridges import choice as choices
from circuit_sparsity.ui.bridges import edit, effects, hybrids
from circuit_sparsity.ui.shell import cached, messages, state
from circuit_sparsity.ui.shell.cached import LiveView
from circuit_sparsity.ui.shell.fields import among
from circuit_sparsity.ui.shell.page import circuit_page
from circuit_sparsity.ui.shell.pickers import Choice

_LOOK = "bridge"  # the address's parameter
_EDIT, _NODES, _HYBRIDS, _SITES = "An edit", "Every node", "Hybrids", "How good they are"


def page(choice: Choice) -> None:
    st.markdown(
        "What does a sparse model explain of a dense one? **Bridges** map the residual streams of "
        "the two onto each other. Change a node of the circuit here, in the sparse model, and "
        "see whether the dense model follows."
    )
    pair = choices.pair_of(choice.model)
    if pair is not None:
        view = cached.live(choice)
        state.prepare(view)
        explore(view, pair, cached.tokenizer(choice.model))


@st.fragment
def explore(view: LiveView, pair: Pair, tokenizer: Tokenizer) -> None:
    with messages.in_place():
        shown = among("What to look at", (_EDIT, _NODES, _HYBRIDS, _SITES), _LOOK)
        if shown == _NODES:
            effects.section(view, pair)
        elif shown == _HYBRIDS:
            hybrids.reading(view, pair, tokenizer)
        elif shown == _SITES:
            hybrids.sites(pair)
        else:
            edit.section(view, pair, tokenizer)


circuit_page("Bridges", page)
