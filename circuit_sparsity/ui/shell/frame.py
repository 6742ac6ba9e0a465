"""What every page has around it: name, icon, style, and the link to the present view."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import streamlit as st
from streamlit.components import v2
from streamlit.delta_generator import DeltaGenerator
from streamlit.runtime.pages_manager import PagesManager

_ICON = Path(__file__).with_name("icon.svg")  # a named icon would be fetched from the network

# Streamlit leaves 6 rem above the first line and 5 beside the page; the graph should be in sight
# without scrolling.
_STYLE = """<style>
.stMainBlockContainer {padding-top: 3.6rem; padding-bottom: 3rem}
@media (min-width: 700px) {
  .stMainBlockContainer {padding: 2.6rem 2.5rem 3rem}
}
.stMainBlockContainer h1 {padding-top: 0; font-size: 2rem}
[data-circuit-full] :is([data-testid="stSidebar"], [data-testid="stHeader"]) {display: none}
[data-testid="stMetricValue"] {font-size: 1.5rem}
[data-variant="segmented_control"][aria-checked="true"],
[data-testid="stSliderThumbValue"] * {
  color: light-dark(#0b559f, #8ecbff) !important
}
.stMainBlockContainer .stButton button[kind="tertiary"] {min-height: 1.7rem; text-align: left}
</style>"""
_FLAT = {
    "height": 10,
    "margin": dict.fromkeys("lrtb", 0),
    **{axis: {"visible": False} for axis in ("xaxis", "yaxis")},
}
_STILL = {"staticPlot": True}
_VISITED = "visited"  # in the session


def through_app() -> None:
    """Start over inside the app where Streamlit runs a page's file alone.

    It does so when a page's address is the first that a fresh server is asked for: before
    `st.navigation` has been called once, a folder named `pages` is an app of its own.
    """
    if PagesManager.uses_pages_directory:
        PagesManager.uses_pages_directory = False
        st.rerun()


def set_up() -> None:
    """Page settings; call first."""
    st.set_page_config(page_title="Circuit explorer", page_icon=str(_ICON), layout="wide")
    st.html(_STYLE)


def is_first_visit() -> bool:
    """Whether this is the first run of a session whose address asks for nothing."""
    is_first = _VISITED not in st.session_state
    st.session_state[_VISITED] = True
    return is_first and not st.query_params


@contextmanager
def waiting() -> Iterator[DeltaGenerator]:
    """What stands on the page while a fresh process imports what it computes with; its place.

    A figure without content is part of it: the browser fetches and reads Plotly meanwhile, which
    takes it as long as the imports take Python.
    """
    place = st.empty()  # in every run, so that what follows keeps its place on the page
    if "torch" not in sys.modules:
        with place.container():
            st.caption("Starting …")
            st.plotly_chart({"data": [{"type": "scatter"}], "layout": _FLAT}, config=_STILL)
    try:
        yield place
    finally:
        place.empty()


_LINK_SCRIPT = Path(__file__).with_name("link.js").read_text(encoding="utf-8")
_LINK_HTML = """<label for="view-link">Link to this view</label>
<div class="row"><input id="view-link" readonly spellcheck="false">
<button type="button">Copy</button></div><span role="status"></span>"""
_LINK_STYLE = """
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


def link_to_this_view() -> None:
    """Draw it in the sidebar; the address bar holds all that restores the view."""
    with st.sidebar:
        v2.component("view_link", html=_LINK_HTML, css=_LINK_STYLE, js=_LINK_SCRIPT)(
            key="view_link"
        )
