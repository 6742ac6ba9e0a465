"""What circuits are looked for on: twenty two-way questions, and how well a model answers them."""

import streamlit as st

from circuit_sparsity.ui.shell import messages, pickers
from circuit_sparsity.ui.shell.page import page
from circuit_sparsity.ui.tasks import tasks


def all_tasks() -> None:
    model = pickers.chosen_model()
    pickers.link_trouble()
    st.markdown(
        "A task is a **two-way question about the next token**. Its prompts come in pairs that "
        "differ in as little as possible, so a guess that ignores the difference is right half "
        "the time."
    )
    with messages.in_place():
        tasks.scores(model)
    with messages.in_place():
        tasks.one(model)
    tasks.own()


page("Tasks", all_tasks)
