"""One attention head on one prompt: where it looks, and what each channel adds to that."""

import streamlit as st

from circuit_sparsity.ui.node import attention
from circuit_sparsity.ui.shell import cached, prompts, state
from circuit_sparsity.ui.shell.page import circuit_page
from circuit_sparsity.ui.shell.pickers import Choice


def page(choice: Choice) -> None:
    view = cached.live(choice)
    experiment, tokenizer = view.experiment, cached.tokenizer(choice.model)
    state.prepare(view)
    st.markdown(
        "Where does an attention head look, in the whole model and in the circuit alone? "
        "Computed live."
    )
    head = attention.head_field(view)
    with st.expander("The prompt", icon=":material/edit_note:", expanded=True):
        text = prompts.text_field(experiment, tokenizer)
        tokens = prompts.fitting(tokenizer.encode(text), view.config.block_size, tokenizer)
    if tokens is not None:
        attention.side_by_side(experiment, head, tokens, tokenizer)


circuit_page("Attention", page)
