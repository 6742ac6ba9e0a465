"""One node on every token of a text: the documents its file holds, or the reader's own."""

import streamlit as st

from circuit_sparsity.store import Store
from circuit_sparsity.ui.node import tokens
from circuit_sparsity.ui.shell import cached, fetching, strips
from circuit_sparsity.ui.shell.address import bound
from circuit_sparsity.ui.shell.fields import among
from circuit_sparsity.ui.shell.page import circuit_page
from circuit_sparsity.ui.shell.pickers import Choice

_STORED, _OWN = "Stored documents", "Your text"


def page(choice: Choice) -> None:
    view = cached.stored(choice)
    store = Store.from_environment()
    can_run = not fetching.missing_to_run(store, choice.model)
    has_tokenizer = store.path_of_tokenizer(choice.model) is not None
    tokenizer = cached.tokenizer(choice.model) if has_tokenizer else None
    st.markdown("What makes a node fire? Its activation on each token, on one scale for all texts.")
    node = tokens.node_field(view, can_run)
    source = among("Text to read", (_STORED, _OWN), "token_source")
    shown, largest = [], 0.0
    if source == _STORED:
        shown, largest = strips.stored_documents(view, node)
        live = shown and can_run
        if live and st.toggle("Run the model on them now", **bound("token_live", False)):
            shown = tokens.with_live(cached.live(choice).experiment, shown, node)
    elif tokenizer is not None and fetching.model_is_here(choice.model):
        shown = tokens.own_text(cached.live(choice).experiment, tokenizer, node)
    strips.draw(shown, tokenizer, largest)
    strips.numbers(shown, tokenizer)


circuit_page("Tokens", page, needs="file")
