"""One node on every token of a text: the documents its file holds, or the reader's own."""

import streamlit as st

from circuit_sparsity.store import Store
from circuit_sparsity.ui.circuit import stored
from circuit_sparsity.ui.node import tokens
from circuit_sparsity.ui.shell import cached, fetching, messages, pickers
from circuit_sparsity.ui.shell.address import bound
from circuit_sparsity.ui.shell.choices import among

_STORED, _OWN = "Stored documents", "Your text"


def page() -> None:
    choice = pickers.chosen()
    if choice is None:
        messages.no_circuits(pickers.chosen_model())
        return
    pickers.link_trouble()
    if not fetching.circuit_is_here(choice):
        return
    seen = stored.scene(choice)
    store = Store.from_environment()
    can_run = not fetching.missing_to_run(store, choice.model)
    has_tokenizer = store.path_of_tokenizer(choice.model) is not None
    tokenizer = cached.tokenizer(choice.model) if has_tokenizer else None
    st.markdown("What makes a node fire? Its activation on each token, on one scale for all texts.")
    node = tokens.node_field(seen, can_run)
    source = among("On which text", (_STORED, _OWN), "token_source")
    largest = 0.0
    if source == _STORED:
        strips, largest = tokens.stored_documents(seen, node)
        if strips and can_run and _live():
            strips = tokens.beside_live(cached.scene(choice).experiment, strips, node)
    elif tokenizer is not None and fetching.model_is_here(choice.model):
        strips = tokens.own_text(cached.scene(choice).experiment, tokenizer, node)
    else:
        strips = []
    tokens.draw(strips, tokenizer, largest)
    tokens.numbers(strips, tokenizer)


def _live() -> bool:
    return st.toggle("Run the model on them now", **bound("token_live", False))


st.title("Tokens")
with messages.in_place():
    page()
