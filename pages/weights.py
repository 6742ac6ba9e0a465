"""What the weights say by themselves: embedding, unembedding, bigram table, positions."""

import streamlit as st

from circuit_sparsity.ui.node import model_weights
from circuit_sparsity.ui.shell import cached, fetching, messages, pickers
from circuit_sparsity.ui.shell.page import page


def weights() -> None:
    model = pickers.chosen_model()
    if model is None:
        messages.no_circuits()
        return
    pickers.link_trouble()
    if not fetching.model_is_here(model, to_run=False):
        return
    st.markdown(
        f"The weights of **{messages.plain(model)}**, exactly as trained; nothing is run. Most "
        "of them are zero, and zeros are left out of tables and histograms."
    )
    found, tokenizer = cached.model(model), cached.tokenizer(model)
    model_weights.channel(found, tokenizer)
    model_weights.token(found, tokenizer)
    model_weights.places(found)


page("Weights", weights)
