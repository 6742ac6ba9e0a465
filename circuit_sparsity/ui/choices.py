"""A choice among a few words that the address holds."""

from collections.abc import Sequence

import streamlit as st


def among(label: str, options: Sequence[str], key: str, meaning: str | None = None) -> str:
    """One of ``options``, the first to begin with; ``key`` is the address's parameter as well.

    A choice that is no longer offered gives way to the first. ``meaning`` is shown on hovering.
    """
    if st.session_state.get(key, options[0]) not in options:
        st.session_state[key] = options[0]
    found = st.segmented_control(
        label,
        options,
        key=key,
        default=None if key in st.session_state else options[0],
        required=True,
        bind="query-params",
        help=meaning,
    )
    return found or options[0]
