"""Choices among a few words, a pair of prompts, and buttons that start work.

The address or the session holds what was chosen.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import streamlit as st

from circuit_sparsity.ui.shell.address import bound


def among(label: str, options: Sequence[str], key: str, meaning: str | None = None) -> str:
    """One of ``options``, the first to begin with; ``key`` is the address's parameter as well.

    A choice that is no longer offered gives way to the first. ``meaning`` is shown on hovering.
    """
    if st.session_state.get(key, options[0]) not in options:
        st.session_state[key] = options[0]
    found = st.segmented_control(
        label,
        options,
        **bound(key, options[0]),
        default=None if key in st.session_state else options[0],
        required=True,
        help=meaning,
    )
    return found or options[0]


def kept(
    label: str,
    options: Sequence[str],
    key: str,
    meaning: str | None = None,
    words: Callable[[str], str] = str,
) -> str:
    """One of ``options``, the first to begin with; kept on other pages, and not in the address."""
    found = st.segmented_control(
        label,
        options,
        key=key,
        default=options[0],
        required=True,
        format_func=words,
        persist_state="session",
        help=meaning,
    )
    return found or options[0]


def pair_field(pairs: int, key: str) -> int:
    """Which of the task's pairs of prompts, counted from 1; the first for one there is not."""
    asked = st.session_state.get(key, st.query_params.get(key, "1"))
    if str(asked) not in map(str, range(1, pairs + 1)):
        st.session_state[key] = 1
    label = f"Pair, 1 to {pairs}"
    return int(st.number_input(label, 1, pairs, width=150, **bound(key, 1)))


_PRESSED = "button pressed"


def pressed(
    label: str,
    key: str,
    icon: str,
    type: Literal["primary", "secondary"] = "secondary",
    meaning: str | None = None,
    disabled: bool = False,
    width: Literal["content", "stretch"] = "content",
) -> bool:
    """Draw the button; whether it was pressed, once for each press.

    Run the page again, with `st.rerun`, after what it starts: parts above may show it.
    """
    st.button(
        label,
        key=key,
        icon=icon,
        type=type,
        help=meaning,
        disabled=disabled,
        width=width,
        on_click=_remember_press,
        args=(key,),
    )
    if disabled or st.session_state.get(_PRESSED) != key:
        return False
    forget_press()
    return True


def forget_press() -> None:
    """At the end of a run: what was pressed and is not there any more starts nothing later."""
    st.session_state.pop(_PRESSED, None)


def _remember_press(key: str) -> None:
    st.session_state[_PRESSED] = key
