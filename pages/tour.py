"""Two minutes with one circuit: what it reads, moves and writes, and how to fool it."""

import streamlit as st

from circuit_sparsity.ui.shell import cached, fetching, messages
from circuit_sparsity.ui.shell.page import page
from circuit_sparsity.ui.tour import tour
from circuit_sparsity.ui.tour.steps import STEPS


def one_step() -> None:
    choice = tour.circuit()
    if choice is None:
        tour.nothing_here()
        return
    if not fetching.ready(choice):
        return
    at = tour.position([title for title, _ in STEPS])
    view = cached.live(choice)
    found = tour.measured(view)
    title, show = STEPS[at]
    st.subheader(f"{at + 1}. {title}")
    show(view, found)
    if at == len(STEPS) - 1:
        tour.what_next(choice)
    st.caption(
        f"Everything here is measured live, on {messages.plain(' · '.join(choice))}; losses are "
        f"on {messages.plain(view.experiment.batch_name)}."
    )


page("Tour", one_step)
