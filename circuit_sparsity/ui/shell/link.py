"""The link to the present view, in the sidebar of every page: shown, and copied by a button."""

from pathlib import Path

import streamlit as st
from streamlit.components import v2

_SCRIPT = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
_HTML = """<label for="view-link">Link to this view</label>
<div class="row"><input id="view-link" readonly spellcheck="false">
<button type="button">Copy</button></div><span role="status"></span>"""
_STYLE = """
label, span {font-size: .875rem; color: var(--st-text-color)}
span {display: block; min-height: 1.3rem}
label {display: block}
.row {display: flex; gap: .4rem; margin-top: .25rem}
input {flex: 1; min-width: 0; font: inherit; font-size: .8rem; padding: .35rem .5rem;
  color: var(--st-text-color); background: var(--st-background-color);
  border: 1px solid var(--st-border-color); border-radius: .5rem}
button {font: inherit; font-size: .875rem; padding: .35rem .8rem; cursor: pointer;
  color: var(--st-text-color); background: var(--st-background-color);
  border: 1px solid var(--st-border-color); border-radius: .5rem}
button:hover {border-color: var(--st-primary-color); color: var(--st-primary-color)}
:focus-visible {outline: 2px solid var(--st-primary-color); outline-offset: 1px}
"""


def to_this_view() -> None:
    """Draw it in the sidebar; the address bar holds all that restores the view."""
    with st.sidebar:
        v2.component("view_link", html=_HTML, css=_STYLE, js=_SCRIPT)(key="view_link")
