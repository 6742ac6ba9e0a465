"""The address and what the page shows: kept in step where a run begins with an older address.

The browser sends each run the address beside the widgets' values, and now and then an older one: a
change that came a moment before is in the values, but not in the address. Whatever that run writes
into the address would then drop the change from it, and from every link copied later.
"""

from typing import Literal, TypedDict

import streamlit as st

_HAD = "what the address had"


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
    older = value != default if not said else said == had.get(key)
    if older and said != words:
        st.session_state[key] = value  # set by the script, it is written into the address
    had[key] = words
    return {"key": key, "bind": "query-params"}


def write(key: str, value: str) -> None:
    """Set a parameter that no widget is bound to, where it says something else."""
    if st.query_params.get(key) != value:
        st.query_params[key] = value


def _in_words(value: object) -> list[str]:
    """The value as the address spells it."""
    if isinstance(value, bool):
        return [str(value).lower()]
    return [str(one) for one in value] if isinstance(value, (list, tuple)) else [str(value)]
