"""Two minutes with one circuit: what it reads, moves and writes, and how to fool it."""

import streamlit as st

from circuit_sparsity.ui.shell import cached, fetching, messages
from circuit_sparsity.ui.tour import steps as tour_steps
from circuit_sparsity.ui.tour import tour


def page() -> None:
    choice = tour.circuit()
    if choice is None:
        tour.nothing_here()
        return
    if not fetching.ready(choice):
        return
    steps = tour_steps.STEPS
    at = tour.position([title for title, _ in steps])
    scene = cached.scene(choice)
    found = tour.measured(scene)
    title, show = steps[at]
    st.subheader(f"{at + 1}. {title}")
    show(scene, found)
    st.caption(
        f"Everything here is measured now, on {messages.plain(' · '.join(choice))}; losses are of "
        f"{messages.plain(scene.experiment.batch_name)}."
    )


st.title("Tour")
with messages.in_place():
    page()
