"""The circuit's graph on a page: the figure, and the scripts that make it answer.

`st.plotly_chart`'s own selection cannot be set from outside without mounting the figure anew, and
then forgets the set at the next shift+click; so a script beside the chart listens to Plotly's
clicks and marks what is picked, wherever the pick came from. A second one listens to the keyboard.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import streamlit as st
from streamlit.components import v2

from circuit_sparsity.plots.colours import palette
from circuit_sparsity.plots.graph import Figure, legend_html
from circuit_sparsity.ui.shell import cached, history, state
from circuit_sparsity.ui.shell.cached import Sight

CHART = "circuit_graph"
_LINK = "graph_link"
_KEYS = "graph_keys"
# Streamlit puts back a height that a script gives its chart, so the box around it has the height;
# on a full screen what stands above and below the graph takes 210 pixels.
_STYLE = """<style>
.st-key-circuit_graph {{height: {height}px}}
[data-circuit-full] .st-key-circuit_graph {{height: max({height}px, 100vh - 210px)}}
</style>"""
_BARE = "no Plotly in reach of scripts"
_HERE = Path(__file__).parent
_SCRIPT = (_HERE / "graph_link.js").read_text(encoding="utf-8")
_KEYS_SCRIPT = (_HERE / "graph_keys.js").read_text(encoding="utf-8")
_HINT = (_HERE / "graph_keys.html").read_text(encoding="utf-8")
_HINT_STYLE = (_HERE / "graph_keys.css").read_text(encoding="utf-8")


def draw(
    scene: Sight,
    figure: Callable[..., Figure] = cached.figure,
    paths: Sequence[Sequence[str]] = (),
) -> None:
    """The figure, picks by clicking and by keys, and ``paths`` of nodes shown in it."""
    circuit = scene.circuit
    parts = (*state.picked(scene), *state.picked_edges(scene))
    theme = st.context.theme.type
    baked = parts if st.session_state.get(_BARE) else ()
    drawn = figure(scene, cached.identity(scene), theme, baked)
    st.html(_STYLE.format(height=drawn["layout"]["height"]))
    st.plotly_chart(
        drawn,
        height="stretch",
        key=CHART,
        config={"displaylogo": False, "modeBarButtonsToRemove": ["autoScale2d"]},
        alt=f"Graph of the circuit {circuit.title}; the table below has the same nodes",
    )
    _link()(
        key=_LINK,
        data={
            "chart": CHART,
            "picked": [*map(str, parts)],
            "version": state.outside(),
            "paths": [[*path] for path in paths],
        },
        on_picked_change=lambda: _take_over(scene),
        height=1,
    )
    _keys()(
        key=_KEYS,
        data={"chart": CHART, "search": state.NODES},
        on_undo_change=lambda: history.undo(scene),
        on_redo_change=lambda: history.redo(scene),
        height="content",
    )


def legend(scene: Sight) -> None:
    """What lines and marks mean."""
    strengths = sorted(abs(edge.weight) for edge in scene.wiring.edges) or [0.0]
    st.html(legend_html(palette(st.context.theme.type), strengths[0], strengths[-1]))


def _take_over(scene: Sight) -> None:
    picked = st.session_state[_LINK].picked
    state.pick_in_graph(scene, picked["nodes"])
    st.session_state[_BARE] = not picked["marked"]


def _link():
    return v2.component("circuit_graph_link", js=_SCRIPT)


def _keys():
    return v2.component("circuit_graph_keys", html=_HINT, css=_HINT_STYLE, js=_KEYS_SCRIPT)
