"""One attention head on one prompt: where it looks, and what each channel adds to that."""

import streamlit as st

from circuit_sparsity.ui.node import attention
from circuit_sparsity.ui.shell import cached, fetching, messages, pickers, prompts, state


def page() -> None:
    choice = pickers.chosen()
    if choice is None:
        messages.no_circuits(pickers.chosen_model())
        return
    pickers.link_trouble()
    if not fetching.ready(choice):
        return
    scene = cached.scene(choice)
    experiment = scene.experiment
    tokenizer = cached.tokenizer(choice.model)
    state.prepare(scene)
    st.markdown("Where does a head look, in the whole model and in the circuit alone? Run now.")
    view = attention.view_field(scene)
    with st.expander("The prompt", icon=":material/edit_note:", expanded=True):
        text = prompts.text_field(experiment, tokenizer)
        context = experiment.model.config.block_size
        tokens = prompts.fitting(tokenizer.encode(text), context, tokenizer)
    if tokens is not None:
        attention.side_by_side(experiment, view, tokens, tokenizer)


st.title("Attention")
with messages.in_place():
    page()
