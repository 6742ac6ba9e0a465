"""Parts of the first page: the tour, three cards, and the way back to where one was.

What the cards say was measured on circuits that ship, and is kept in `cards.json`, so that the page
stands at once; `tests/ui/test_home_page.py` measures it again.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypedDict

import streamlit as st
from streamlit.components import v2

from circuit_sparsity.store import Store
from circuit_sparsity.ui.shell import messages, pickers
from circuit_sparsity.ui.shell.messages import code
from circuit_sparsity.ui.shell.pickers import TOUR, Choice

_HERE = Path(__file__).parent
_BACK_SCRIPT = (_HERE / "back.js").read_text(encoding="utf-8")
_BACK_HTML = '<a hidden target="_self">Continue where you left off</a> <span></span>'
_BACK_STYLE = """
a {color: var(--st-primary-color); font-weight: 600} span {color: var(--st-text-color);
  opacity: .75; font-size: .875rem}
"""


class Measured(TypedDict):
    """What a card says of one circuit: its size, how well it does its task, and its picture."""

    nodes: int
    edges: int
    loss: float  # nats per sequence, on prompts of the test split
    accuracy: float  # share of them whose right answer is the likelier of the two
    picture: str  # SVG


@dataclass(frozen=True)
class Card:
    """A way in: what it asks, one example, and one circuit or two."""

    title: str
    words: str
    example: tuple[str, str]  # a prompt and what comes next
    circuits: tuple[Choice, ...]


CARDS = (
    Card(
        "Close a quote",
        "A string was opened some tokens ago. Which mark closes it?",
        ('open("data.txt', '")'),
        (TOUR,),
    ),
    Card(
        "Count brackets",
        "One bracket, or two because a list sits inside a list?",
        ("rows = [[1, 2], [3, 4", "]]"),
        (Choice("starter", "bracket_counting", "full", "k49_seed0_full"),),
    ),
    Card(
        "Sparse beside dense",
        "Two models, one task: how many nodes does a dense one need?",
        ("print('done", "')"),
        (
            Choice("main", "single_double_quote", "full", "k43_seed0_full"),
            Choice("dense", "single_double_quote", "masks", "k173_seed0_masks"),
        ),
    ),
)


def tour() -> None:
    """The first thing to do for who is new."""
    if st.button("Take the tour: two minutes", type="primary", icon=":material/tour:"):
        # Without parameters of its own it would refuse: other pages' are bound to widgets.
        st.switch_page("pages/tour.py", query_params={})


def cards() -> None:
    """Three ways in; those whose circuits are not here say where they are."""
    known = kept()
    for column, card in zip(st.columns(len(CARDS), gap="medium"), CARDS, strict=True):
        with column, st.container(border=True, height="stretch"):
            _card(card, known)


def _card(card: Card, known: Mapping[str, Measured]) -> None:
    st.markdown(f"#### {card.title}")
    st.markdown(card.words)
    prompt, answer = card.example
    st.markdown(f"{code(prompt)} → {code(answer)}")
    several = len(card.circuits) > 1
    for column, choice in zip(st.columns(len(card.circuits)), card.circuits, strict=True):
        with column:
            _way_in(choice, known[" ".join(choice)], several)


def _way_in(choice: Choice, found: Measured, named: bool) -> None:
    """A circuit's picture, its numbers, and the button that opens it; ``named`` by its model."""
    st.image(found["picture"], width="stretch")
    model = f"{choice.model}: " if named else ""
    st.markdown(
        f"{model}**{found['nodes']:,} nodes**, loss {found['loss']:.2f}, "
        f"right {found['accuracy']:.0%}",
        help=f"`{' · '.join(choice)}`, {found['edges']:,} edges. Loss in nats per sequence on "
        "prompts of the test split (0.69 is a guess); right: how often the right answer is the "
        "likelier of the two.",
    )
    if Store.from_environment().path_of_viz(*choice) is None:
        st.caption("Not on this machine.")
        messages.library_link()
        return
    if st.button(
        "Open" if named else "Open its circuit",
        key=f"open {' '.join(choice)}",
        icon=":material/hub:",
        width="stretch",
        on_click=pickers.go_to,
        args=(choice,),
    ):
        # Without parameters of its own it would refuse: other pages' are bound to widgets.
        st.switch_page("pages/circuit.py", query_params={})


def go_on() -> None:
    """A link to the address that this browser showed last; nothing for a first visit."""
    v2.component("go_on", html=_BACK_HTML, css=_BACK_STYLE, js=_BACK_SCRIPT)(
        key="go_on", height="content"
    )


@cache
def kept() -> Mapping[str, Measured]:
    """What was measured, by the four names of a circuit with blanks between."""
    return json.loads((_HERE / "cards.json").read_text(encoding="utf-8"))
