"""The prompt of the tour: one of the task's pairs, either side, its deciding token framed."""

from dataclasses import dataclass

import streamlit as st

from circuit_sparsity.plots.activations import activation_strip
from circuit_sparsity.plots.colours import palette
from circuit_sparsity.plots.tokens import show_token
from circuit_sparsity.ui.shell import cached
from circuit_sparsity.ui.shell.cached import Scene
from circuit_sparsity.ui.tour.tour import Measured

_PAIR, _OTHER = "tour_pair", "tour_other"
_STRIDE = 5  # prompts that follow each other are of one structure after the other


@dataclass(frozen=True)
class Shown:
    """The prompt on screen, as people read it."""

    row: int
    tokens: tuple[bytes, ...]
    mark: int
    right: str
    wrong: str
    positive_mark: str
    negative_mark: str


def prompt(scene: Scene, found: Measured, compact: bool = False) -> Shown:
    """The tokens with the mark framed, and buttons for another pair and for the other side.

    ``compact`` only says which prompt it would be.
    """
    pairs = found.few.batch.n_pairs
    pair = st.session_state.get(_PAIR, 0) % pairs
    other = bool(st.session_state.get(_OTHER, False))
    one = _shown(scene, found, pair, pair + pairs * other)
    if compact:
        return one
    levels = [0.0] * len(one.tokens)
    st.html(activation_strip(one.tokens, levels, palette(st.context.theme.type), 1.0, one.mark))
    with st.container(horizontal=True):
        st.button(
            "The other mark",
            key="tour other",
            icon=":material/swap_horiz:",
            on_click=_set,
            args=(_OTHER, not other),
        )
        st.button(
            "Another prompt",
            key="tour another",
            icon=":material/casino:",
            on_click=_set,
            args=(_PAIR, (pair + _STRIDE) % pairs),
        )
    return one


def _shown(scene: Scene, found: Measured, pair: int, row: int) -> Shown:
    batch, tokenizer = found.few.batch, cached.tokenizer(scene.choice.model)

    def text(token: int) -> str:
        return show_token(tokenizer.token_bytes(token))

    ids = batch.tokens[row, : int(batch.last[row]) + 1].tolist()
    marks = (int(batch.tokens[i, found.marks[i]]) for i in (pair, pair + batch.n_pairs))
    positive, negative = map(text, marks)
    return Shown(
        row,
        tuple(map(tokenizer.token_bytes, ids)),
        found.marks[row],
        text(int(batch.right[row])),
        text(int(batch.wrong[row])),
        positive,
        negative,
    )


def _set(key: str, value: int | bool) -> None:
    st.session_state[key] = value
