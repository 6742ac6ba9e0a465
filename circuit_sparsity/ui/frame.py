"""What every page has around it: the browser tab's name and icon, and little empty space."""

from pathlib import Path

import streamlit as st

_ICON = Path(__file__).with_name("icon.svg")  # a named icon would be fetched from the network

# Streamlit leaves 6 rem above the first line; the graph should be in sight without scrolling.
_STYLE = """<style>
.stMainBlockContainer {padding-top: 2.6rem; padding-bottom: 3rem}
.stMainBlockContainer h1 {padding-top: 0; font-size: 2rem}
[data-testid="stMetricValue"] {font-size: 1.5rem}
.stMainBlockContainer .stButton button[kind="tertiary"] {min-height: 1.7rem; text-align: left}
</style>"""


def set_up() -> None:
    """Page settings; call first."""
    st.set_page_config(page_title="Circuit explorer", page_icon=str(_ICON), layout="wide")
    st.html(_STYLE)
