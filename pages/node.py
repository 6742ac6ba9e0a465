"""One node from all sides: its card, what it fires on, its weights, its head, its vocabulary."""

import streamlit as st

from circuit_sparsity.core.tokenizer import Tokenizer
from circuit_sparsity.ui.node import card as node_card
from circuit_sparsity.ui.node import effect as node_effect
from circuit_sparsity.ui.node import field as node_field
from circuit_sparsity.ui.node import texts as node_texts
from circuit_sparsity.ui.node import weights as node_weights
from circuit_sparsity.ui.shell import cached, fetching, messages, pickers, state
from circuit_sparsity.ui.shell.cached import Scene
from circuit_sparsity.ui.shell.choices import among

_VIEW = "view"
_ACTIVATIONS, _WEIGHTS, _HEAD, _VOCABULARY = "Activations", "Weights", "Attention", "Vocabulary"


def page() -> None:
    choice = pickers.chosen()
    if choice is None:
        messages.no_circuits(pickers.chosen_model())
        return
    pickers.link_trouble()
    if fetching.ready(choice):
        explore(cached.scene(choice), cached.tokenizer(choice.model))


@st.fragment
def explore(scene: Scene, tokenizer: Tokenizer) -> None:
    with messages.in_place():
        state.prepare(scene)
        messages.unknown_nodes(state.unknown_nodes(), scene.circuit.title)
        st.markdown(
            "Everything about one node, computed here. It is the one that was last picked on the "
            "circuit page; choose any other below."
        )
        labels = node_field.labels_of(scene.circuit)
        node = node_field.chosen(scene, labels)
        node_field.heading(scene, node, labels)
        node_card.show(scene, node, tokenizer, labels)
        in_a_head = node.location.kind in ("q", "k", "v")
        views = (_ACTIVATIONS, _WEIGHTS, *([_HEAD] if in_a_head else []), _VOCABULARY)
        view = among("What to see of it", views, _VIEW)
        if view == _WEIGHTS:
            node_weights.section(scene, node, labels)
        elif view == _HEAD:
            node_effect.head(scene, node, tokenizer)
        elif view == _VOCABULARY:
            node_effect.vocabulary(scene, node, tokenizer)
        else:
            node_texts.section(scene, node, tokenizer)


st.title("Node")
with messages.in_place():
    page()
