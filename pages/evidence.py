"""Is the circuit real? What was measured of it, beside controls that should mean nothing."""

import streamlit as st

from circuit_sparsity.ui.evidence import attacks
from circuit_sparsity.ui.evidence import sections as evidence
from circuit_sparsity.ui.shell import cached, fetching, messages, pickers


def page() -> None:
    choice = pickers.chosen()
    if choice is None:
        messages.no_circuits(pickers.chosen_model())
        return
    pickers.link_trouble()
    if not fetching.circuit_is_here(choice):
        return
    st.markdown(
        f"Is **{messages.plain(' · '.join(choice))}** what the model does, or would any nodes do?"
    )
    found = evidence.read(choice)
    evidence.measuring(choice, found)
    if found is None:
        evidence.nothing_yet(choice)
    else:
        evidence.troubles(found)
        evidence.tables(found)
        evidence.curves(found)
        evidence.nodes(found)
    if attacks.of_task(choice.task) and fetching.model_is_here(choice.model):
        attacks.section(cached.scene(choice))


st.title("Evidence")
with messages.in_place():
    page()
