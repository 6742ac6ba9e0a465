"""One node from all sides: its card, what it fires on, its weights, its head, its vocabulary."""

import streamlit as st

from circuit_sparsity.core.tokenizer import Tokenizer
from circuit_sparsity.ui.node import attention, card, texts
from circuit_sparsity.ui.shell import cached, messages, node_field, state
from circuit_sparsity.ui.shell.cached import LiveView
from circuit_sparsity.ui.shell.fields import among
from circuit_sparsity.ui.shell.page import circuit_page
from circuit_sparsity.ui.shell.pickers import Choice

_SHOWN = "view"  # the address's parameter
_ACTIVATIONS, _WEIGHTS, _HEAD, _VOCABULARY = "Activations", "Weights", "Attention", "Vocabulary"


def page(choice: Choice) -> None:
    explore(cached.live(choice), cached.tokenizer(choice.model))


@st.fragment
def explore(view: LiveView, tokenizer: Tokenizer) -> None:
    with messages.in_place():
        state.prepare(view)
        messages.unknown_nodes(state.unknown_nodes(), view.circuit.title)
        st.markdown(
            "Everything about one node, computed here. It starts with the node you last picked "
            "on the circuit page; choose any other below."
        )
        labels = node_field.labels_of(view.circuit)
        node = node_field.chosen(view, labels)
        node_field.heading(view, node, labels)
        card.show(view, node, tokenizer, labels)
        in_a_head = node.location.kind in ("q", "k", "v")
        options = (_ACTIVATIONS, _WEIGHTS, *([_HEAD] if in_a_head else []), _VOCABULARY)
        shown = among("What to show", options, _SHOWN)
        if shown == _WEIGHTS:
            card.weights(view, node, labels)
        elif shown == _HEAD:
            attention.head(view, node, tokenizer)
        elif shown == _VOCABULARY:
            card.vocabulary(view, node, tokenizer)
        else:
            texts.section(view, node, tokenizer)


circuit_page("Node", page)
