"""How the circuit on the page works, in words, where somebody has read it."""

import streamlit as st

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.explained.account import account_of

_MEASURED = (
    "Measured on what ships, and measured again by the project's tests: a mark such as [Q4] is the "
    "name of the test. Type a node's name into “Switched off” to try it yourself."
)
_WIDTH = 820  # pixels: lines that an eye can follow


def section(circuit: Circuit) -> None:
    """The account of ``circuit``, folded; nothing where there is none."""
    account = account_of(circuit)
    if account is None:
        return
    with st.expander("How this circuit works", icon=":material/menu_book:"):
        st.markdown(account, width=_WIDTH)
        st.caption(_MEASURED, width=_WIDTH)
