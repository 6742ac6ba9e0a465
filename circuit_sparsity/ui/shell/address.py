"""The address and what the page shows: kept in step, and said where they differ.

The browser sends each run the address beside the widgets' values, and now and then an older one: a
change that came a moment before is in the values, but not in the address. Whatever that run writes
into the address would then drop the change from it, and from every link copied later.
"""

from typing import Literal, TypedDict

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from circuit_sparsity.ui.shell.messages import plain

_HAD = "what the address had"
_ASKED = "what the link asked"  # of widgets drawn in this run
_OTHERWISE = "what the link did not get"  # by key: its value, and what is shown in its place


class Bound(TypedDict):
    """What a widget is given to follow the address."""

    key: str
    bind: Literal["query-params"]


def bound(key: str, default: object = None) -> Bound:
    """Call with a widget, whose key is the address's parameter: `st.toggle("…", **bound("x"))`.

    ``default`` is the value that stays out of the address; None if every value is written. An
    address with another value than the widget now has is right where it is a link, and older where
    it says what the widget had before, or nothing.
    """
    value, had = st.session_state.get(key), st.session_state.setdefault(_HAD, {})
    said = st.query_params.get_all(key)
    words = said if value is None else _in_words(value)
    st.session_state.setdefault(_ASKED, {})[key] = None if key in had else said
    older = value != default if not said else said == had.get(key)
    if older and said != words:
        st.session_state[key] = value  # set by the script, it is written into the address
    had[key] = words
    return {"key": key, "bind": "query-params"}


def write(key: str, value: str) -> None:
    """Set a parameter that no widget is bound to, where it says something else."""
    if st.query_params.get(key) != value:
        st.query_params[key] = value


def say_trouble(place: DeltaGenerator) -> None:
    """What the link asked for and this page does not offer; call when all widgets are drawn.

    It is said until another value is chosen.
    """
    asked, otherwise = st.session_state.pop(_ASKED, {}), st.session_state.setdefault(_OTHERWISE, {})
    shown = {key: _shown(key) for key in asked}
    for key, said in asked.items():
        if said and shown[key] and not _same(said, shown[key]):
            otherwise[key] = said, shown[key]
    troubles = [
        f"`{key}` “{plain(', '.join(said))}”, which is not available here; this is "
        f"“{plain(', '.join(now))}”"
        for key, (said, now) in otherwise.items()
        if shown.get(key) == now
    ]
    if troubles:
        place.warning(
            f"The link asks for {'; and for '.join(troubles)}.", icon=":material/link_off:"
        )


def _shown(key: str) -> list[str]:
    value = st.session_state.get(key)
    return [] if value is None else _in_words(value)


def _same(said: list[str], shown: list[str]) -> bool:
    """Whether both mean the same: case aside, and numbers however they are written."""
    return [_plainly(one) for one in said] == [_plainly(one) for one in shown]


def _plainly(word: str) -> str | float:
    try:
        return float(word)
    except ValueError:
        return word.casefold()


def _in_words(value: object) -> list[str]:
    """The value as the address spells it."""
    if isinstance(value, bool):
        return [str(value).lower()]
    return [str(one) for one in value] if isinstance(value, (list, tuple)) else [str(value)]
