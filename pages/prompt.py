"""One's own prompt: what the whole model and the circuit expect next, side by side."""

import streamlit as st

from circuit_sparsity.ui import cached, fetching, messages, pickers, prompts, state, table


def page() -> None:
    choice = pickers.chosen()
    if choice is None:
        messages.no_circuits(pickers.chosen_model())
        return
    pickers.link_trouble()
    if not fetching.ready(choice):
        return
    scene = cached.scene(choice)
    tokenizer = cached.tokenizer(choice.model)
    experiment = scene.experiment
    state.prepare(scene)
    messages.unknown_nodes(state.unknown_nodes(), experiment.circuit.title)
    st.markdown(
        "Write the beginning of a program; the model and its circuit say which token they expect "
        "next. The circuit was found for one question only: elsewhere the two may part."
    )
    text = prompts.text_field(experiment, tokenizer)
    table.search_field(scene)
    context = experiment.model.config.block_size
    tokens = prompts.fitting(tokenizer.encode(text), context, tokenizer)
    if tokens is not None:
        answers = prompts.answer_pair(experiment, tokenizer)
        prompts.side_by_side(prompts.runs(scene, tokens), answers, tokenizer)


st.title("Your prompt")
with messages.in_place():
    page()
