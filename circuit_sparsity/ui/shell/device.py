"""Where models run: a choice in the sidebar, on a machine that has more than its CPU.

It is kept for the session and not in the address: a link may be opened on another machine.
"""

import streamlit as st

_KEY = "device"
_CPU = "cpu"


def field() -> None:
    """Draw the choice where there is one. Call it when the page is drawn: it imports torch."""
    from circuit_sparsity.core.device import devices_here

    here = devices_here()
    if len(here) > 1:
        with st.sidebar:
            st.selectbox(
                "Runs on",
                here,
                key=_KEY,
                help="Where models run, and where prunings and evidence that you start compute. "
                "The numbers are those of the CPU to 1e-4.",
            )


def chosen() -> str:
    """The device that this session chose; the CPU before it chose one."""
    return st.session_state.get(_KEY, _CPU)
