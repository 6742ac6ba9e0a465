"""A button that starts work with what the page's fields say when it is pressed.

A callback has the arguments of the run that drew its button, and a press can come together with a
field's change. A button's own return value knows better, but is lost where another change
interrupts the run before the button's turn. So the press is noted, and taken at the button's place.
"""

from typing import Literal

import streamlit as st

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
        on_click=_note,
        args=(key,),
    )
    if disabled or st.session_state.get(_PRESSED) != key:
        return False
    forget()
    return True


def forget() -> None:
    """At the end of a run: what was pressed and is not there any more starts nothing later."""
    st.session_state.pop(_PRESSED, None)


def _note(key: str) -> None:
    st.session_state[_PRESSED] = key
