"""Where to begin: the tour, three cards that each lead into the explorer, and where one was."""

import streamlit as st

from circuit_sparsity.ui.home import home
from circuit_sparsity.ui.shell.page import page


def begin() -> None:
    st.markdown(
        "See **how a small network answers one question**: which of its nodes are needed, what "
        "each one does, and what happens without it. Every click is computed here, on this machine."
    )
    home.tour()
    home.cards()
    home.go_on()


page("Circuit explorer", begin)
