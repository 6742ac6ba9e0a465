"""What pages have in common: a title, troubles said in place, and the circuit they are about."""

from collections.abc import Callable
from contextlib import suppress
from typing import Literal

import streamlit as st
from streamlit.errors import StreamlitPageNotFoundError

from circuit_sparsity.ui.shell import fetching, messages, pickers
from circuit_sparsity.ui.shell.pickers import Choice

Need = Literal["file", "model"]  # of a circuit: its own file, or its model too
# Pages that are tabs of one line of the menu, by title. Each has an address of its own.
_TABS = (
    {
        "Node": "pages/node.py",
        "Attention": "pages/attention.py",
        "Tokens": "pages/tokens.py",
        "Weights": "pages/weights.py",
    },
    {"Compare": "pages/compare.py", "Curves": "pages/curves.py"},
)


def page(title: str, draw: Callable[[], None]) -> None:
    """A page under its title; what a user, a file or a network caused is said in its place."""
    st.session_state[messages.PAGE] = title
    st.title(title)
    _tabs(title)
    with messages.in_place():
        draw()


def _tabs(title: str) -> None:
    """The pages of the same line of the menu, as links; nothing for a page that stands alone."""
    tabs = next((tabs for tabs in _TABS if title in tabs), {})
    if tabs:
        with st.container(horizontal=True, gap="small", key="page_tabs"):
            for name, path in tabs.items():
                with suppress(StreamlitPageNotFoundError):  # a page that is run alone
                    st.page_link(path, label=name, width="content")


def circuit_page(title: str, draw: Callable[[Choice], None], needs: Need = "model") -> None:
    """A page on the sidebar's circuit, drawn once what it needs is here.

    Says where there is no circuit, what a link asked for in vain, and what has to be fetched.
    """

    def drawn() -> None:
        choice = pickers.chosen()
        if choice is None:
            messages.no_circuits(pickers.chosen_model())
            return
        pickers.link_trouble()
        if fetching.ready(choice) if needs == "model" else fetching.circuit_is_here(choice):
            draw(choice)

    page(title, drawn)
