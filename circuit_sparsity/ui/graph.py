"""The circuit's graph on a page: the figure, and the script that makes its nodes clickable.

`st.plotly_chart`'s own selection cannot be set from outside without mounting the figure anew, and
then forgets the set at the next shift+click; so a script beside the chart listens to Plotly's
clicks and marks what is picked, wherever the pick came from.
"""

from collections.abc import Callable
from pathlib import Path

import streamlit as st
from streamlit.components import v2

from circuit_sparsity.plots.colours import palette
from circuit_sparsity.plots.graph import Figure
from circuit_sparsity.plots.legend import legend_html
from circuit_sparsity.ui import cached, state
from circuit_sparsity.ui.cached import Sight

CHART = "circuit_graph"
_LINK = "graph_link"
_BARE = "no Plotly in reach of scripts"
_SCRIPT = Path(__file__).with_suffix("").with_name("graph_link.js").read_text(encoding="utf-8")


def draw(scene: Sight, figure: Callable[..., Figure] = cached.figure) -> None:
    """The figure, its legend, and picks by clicking."""
    circuit = scene.circuit
    parts = (*state.picked(scene), *state.picked_edges(scene))
    theme = st.context.theme.type
    baked = parts if st.session_state.get(_BARE) else ()
    st.plotly_chart(
        figure(scene, cached.identity(scene), theme, baked),
        key=CHART,
        config={"displaylogo": False, "modeBarButtonsToRemove": ["autoScale2d"]},
        alt=f"Graph of the circuit {circuit.title}; the table below has the same nodes",
    )
    _link()(
        key=_LINK,
        data={"chart": CHART, "picked": [*map(str, parts)], "version": state.outside()},
        on_picked_change=lambda: _take_over(scene),
        height=1,
    )
    strengths = sorted(abs(edge.weight) for edge in scene.wiring.edges) or [0.0]
    st.html(legend_html(palette(theme), strengths[0], strengths[-1]))


def _take_over(scene: Sight) -> None:
    picked = st.session_state[_LINK].picked
    state.pick_in_graph(scene, picked["nodes"])
    st.session_state[_BARE] = not picked["marked"]


def _link():
    return v2.component("circuit_graph_link", js=_SCRIPT)
