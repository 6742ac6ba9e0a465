"""Two circuits side by side, the sweeps of a task, and the models by loss and size of circuits."""

import streamlit as st

from circuit_sparsity.ui.compare import circuits as compare
from circuit_sparsity.ui.compare import claims
from circuit_sparsity.ui.compare import models as compare_models
from circuit_sparsity.ui.compare import sweeps as compare_sweeps
from circuit_sparsity.ui.shell import fetching, messages, pickers


def page() -> None:
    model, choice = pickers.chosen_model(), pickers.chosen()
    pickers.link_trouble()
    if choice is None:
        messages.no_circuits(model)
    elif fetching.circuit_is_here(choice):
        with messages.in_place():
            compare.two_circuits(choice)
        with messages.in_place():
            compare_sweeps.sweeps(choice)
    with messages.in_place():
        compare_models.frontier()
    with messages.in_place():
        claims.section()


st.title("Compare")
with messages.in_place():
    page()
