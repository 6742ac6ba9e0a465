"""What every page has around it: the browser tab's name and icon, and little empty space."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import streamlit as st
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
