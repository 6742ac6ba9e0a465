"""The circuit's graph on a page: which part of it is drawn, the figure, and its scripts.

`st.plotly_chart`'s own selection cannot be set from outside without mounting the figure anew, and
then forgets the set at the next shift+click; so a script beside the chart listens to Plotly's
clicks and marks what is picked, wherever the pick came from. A second one listens to the keyboard.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import streamlit as st
from streamlit.components import v2
from streamlit.delta_generator import DeltaGenerator

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.circuits.edges import Edge, Link
from circuit_sparsity.circuits.wiring import Wiring
from circuit_sparsity.core.model import GPTConfig
from circuit_sparsity.core.names import Node
from circuit_sparsity.plots.colours import palette
from circuit_sparsity.plots.graph import Figure, circuit_figure, legend_html
from circuit_sparsity.plots.layout import GraphLayout, lay_out
from circuit_sparsity.plots.words import block_label
from circuit_sparsity.ui.shell import cached, history, state
from circuit_sparsity.ui.shell.address import bound
from circuit_sparsity.ui.shell.cached import CircuitView
from circuit_sparsity.ui.shell.shared import shared

CHART = "circuit_graph"
_LINK = "graph_link"
_KEYS = "graph_keys"
# Streamlit puts back a height that a script gives its chart, so the box around it has the height:
# what the window leaves beside the rows above and below, and never less than the rows need.
_STYLE = """<style>
.st-key-circuit_graph {{height: max({height}px, 100vh - 214px)}}
[data-circuit-full] .st-key-circuit_graph {{height: max({height}px, 100vh - 150px)}}
[data-circuit-full] :is(.st-key-circuit_views, .stHeading) {{display: none}}
[data-circuit-full] .stMainBlockContainer {{padding-top: .5rem !important}}
@media (max-width: 640px) {{ .st-key-circuit_graph {{height: {height}px}} }}
.st-key-circuit_graph .circuit-lit .shapelayer {{opacity: .12}}
.st-key-circuit_graph .circuit-lit .scatterlayer .trace:first-child .point:not(.lit) {{
  opacity: .15 !important
}}
.st-key-circuit_graph .circuit-lit .textpoint {{opacity: .35}}
.st-key-circuit_graph .textpoint text {{
  paint-order: stroke; stroke: {ground}; stroke-width: 3px; stroke-linejoin: round
}}
</style>"""
_MOUSE_AND_KEYS = (
    "**Click** a node, or the middle of an edge, to look at it. **Double click** it, or press "
    "**A** or the scissors button, to ablate or restore it; **Shift+click** does so at once and "
    "collects several. The **wheel** zooms, **dragging** pans, a **double click on the "
    "background** fits the graph. "
    "**Arrow keys** walk along the strongest connections and along the row. **P** pins a node, so "
    "that its edges stay lit (up to five; **Shift+P** unpins them all). **U** undoes, **Shift+U** "
    "redoes, **/** jumps to the search, **F** fills the screen."
)
_CONFIG = {
    "displaylogo": False,
    "modeBarButtonsToRemove": ["autoScale2d"],
    "scrollZoom": True,
    "doubleClick": False,  # the script tells a node's from the empty ground's
}
_BARE = "no Plotly in reach of scripts"
_HERE = Path(__file__).parent
_SCRIPT = (_HERE / "graph_link.js").read_text(encoding="utf-8")
_KEYS_SCRIPT = (_HERE / "graph_keys.js").read_text(encoding="utf-8")
_HINT = (_HERE / "graph_keys.html").read_text(encoding="utf-8")
_HINT_STYLE = (_HERE / "graph_keys.css").read_text(encoding="utf-8")


def draw(
    view: CircuitView,
    figure: Callable[..., Figure],
    paths: Sequence[Sequence[str]] = (),
) -> None:
    """The figure, picks by clicking and by keys, and ``paths`` of nodes shown in it."""
    circuit = view.circuit
    parts, selected = state.changed(view), state.selected(view)
    theme = st.context.theme.type
    baked = parts if st.session_state.get(_BARE) else ()
    drawn = figure(view, cached.identity(view), theme, baked)
    st.html(_STYLE.format(height=drawn["layout"]["height"], ground=palette(theme).band))
    st.plotly_chart(
        drawn,
        height="stretch",
        key=CHART,
        config=_CONFIG,
        alt=f"Graph of the circuit {circuit.title}; the table below has the same nodes",
    )
    _link()(
        key=_LINK,
        data={
            "chart": CHART,
            "picked": [*map(str, parts)],
            "selected": None if selected is None else str(selected),
            "version": state.outside(),
            "paths": [[*path] for path in paths],
        },
        on_picked_change=lambda: _take_over(view),
        on_selected_change=lambda: state.select_in_graph(st.session_state[_LINK].selected or ""),
        height=1,
    )


def keys(view: CircuitView) -> None:
    """What keys and mouse do; the script that answers the keys is part of it."""
    _keys()(
        key=_KEYS,
        data={"chart": CHART, "search": state.NODES},
        on_undo_change=lambda: history.undo(view),
        on_redo_change=lambda: history.redo(view),
        height="content",
    )


def legend(view: CircuitView) -> None:
    """What lines and marks mean, and what mouse and keys do."""
    st.markdown(_MOUSE_AND_KEYS)
    strengths = sorted(abs(edge.weight) for edge in view.wiring.edges) or [0.0]
    st.html(legend_html(palette(st.context.theme.type), strengths[0], strengths[-1]))


def _take_over(view: CircuitView) -> None:
    picked = st.session_state[_LINK].picked
    state.pick_in_graph(view, picked["nodes"])
    st.session_state[_BARE] = not picked["marked"]


def _link():
    return v2.component("circuit_graph_link", js=_SCRIPT)


def _keys():
    return v2.component("circuit_graph_keys", html=_HINT, css=_HINT_STYLE, js=_KEYS_SCRIPT)


# The inspector is docked: it has a width of its own, and scrolls by itself beside the graph. Below
# 640 px Streamlit puts columns under each other.
_ARRANGEMENT = """<style>
.stMainBlockContainer:has(.st-key-graph_and_panel) {padding: 2.2rem 1rem 2rem 1rem; gap: .4rem}
.stMainBlockContainer:has(.st-key-graph_and_panel) .stVerticalBlock {gap: .4rem}
.stMainBlockContainer:has(.st-key-graph_and_panel) h1 {font-size: 1.35rem; padding: 0}
.st-key-circuit_views [data-testid="stWidgetLabel"] {display: none}
.st-key-graph_controls {flex-wrap: nowrap; min-height: 2.5rem; gap: .4rem}
.st-key-graph_controls > * {min-width: 0}
.st-key-graph_controls .stSlider [data-testid="stWidgetLabel"] {display: none}
@media (min-width: 641px) {
  .st-key-graph_and_panel > .stHorizontalBlock,
  .st-key-graph_and_panel .stHorizontalBlock:has(> .stColumn .st-key-circuit_graph) {
    gap: .75rem; align-items: stretch
  }
  .stColumn:has(> * .st-key-circuit_graph) {flex: 1 1 0; min-width: 0}
  .stColumn:has(> * .st-key-inspector) {flex: 0 0 clamp(250px, 20vw, 440px); min-width: 0}
  .st-key-circuit_views {margin: -2.7rem 0 0 6rem; width: calc(100% - 6rem); min-height: 2.2rem}
  .st-key-inspector {max-height: calc(100vh - 118px); overflow-y: auto; position: sticky; top: 3rem;
    padding-right: .25rem}
}
@media (min-width: 641px) and (max-width: 1500px) {
  body:has(.st-key-graph_and_panel) [data-testid="stSidebar"][data-collapsed="false"] {
    width: 216px !important; min-width: 216px !important
  }
}
@media (max-width: 640px) {
  .st-key-graph_controls {flex-wrap: wrap}
  .st-key-graph_controls > * {flex: 1 1 40% !important}
}
</style>"""


def graph_and_panel() -> tuple[DeltaGenerator, DeltaGenerator]:
    """Columns for a graph and for the inspector that is docked beside it."""
    with st.container(key="graph_and_panel"):
        st.html(_ARRANGEMENT)
        left, right = st.columns([0.72, 0.28], gap="small")
    with right:
        return left, st.container(key="inspector")


def controls() -> DeltaGenerator:
    """The toolbar: a row for what is chosen about the graph."""
    return st.container(
        horizontal=True, vertical_alignment="center", gap="small", key="graph_controls"
    )


def notes() -> DeltaGenerator:
    """Where the graph is explained, behind a question mark in the toolbar."""
    return st.popover("", icon=":material/help:", help="Legend, mouse and keys", key="graph_notes")


Join = TypeVar("Join", Edge, Link)

BLOCK = "block"  # the widget's key and the address's parameter
_WHOLE = "whole circuit"


@dataclass(frozen=True, eq=False)
class PartView:
    """One block of a circuit, or its strong edges; ``whole`` has the weak ones as well."""

    circuit: Circuit
    config: GPTConfig
    wiring: Wiring
    layout: GraphLayout
    whole: Wiring


def whole_of(view: CircuitView) -> Wiring:
    """Every edge of what is shown, those that are not drawn too."""
    return view.whole if isinstance(view, PartView) else view.wiring


@shared()
def plain_figure(
    _shown: CircuitView, identity: int, theme: str | None, baked: tuple[Node | Edge, ...]
) -> Figure:
    """The graph with no colours that mean something."""
    drawn = (_shown.wiring, _shown.layout, _shown.config, palette(theme), baked)
    return circuit_figure(*drawn, whole=whole_of(_shown))


def block_field(view: CircuitView) -> CircuitView:
    """What the picker says to show; the address holds it."""
    blocks = {block_label(node.location): node.location.block_name for node in view.wiring.nodes}
    options = [_WHOLE, *blocks]
    if st.session_state.get(BLOCK, st.query_params.get(BLOCK, _WHOLE)) not in options:
        st.session_state[BLOCK] = _WHOLE
    asked = st.selectbox(
        "Show",
        options,
        **bound(BLOCK, _WHOLE),
        width=125,
        label_visibility="collapsed",
        help="One block alone is drawn larger: its reads, what is between, and its writes. What "
        "is switched off elsewhere stays off.",
    )
    if asked not in blocks:
        return view
    return _block(view, cached.identity(view), blocks[asked])


@shared()
def _block(_view: CircuitView, identity: int, block: str) -> PartView:
    wiring = _view.wiring
    nodes = tuple(node for node in wiring.nodes if node.location.block_name == block)
    inside = set(nodes)
    edges, residual = _inside(wiring.edges, inside), _inside(wiring.residual, inside)
    part = Wiring(nodes, edges, residual, _inside(wiring.attention, inside))
    joins = [(edge.source, edge.target) for edge in edges]
    layout = lay_out(nodes, joins, _view.config.d_head)
    return PartView(_view.circuit, _view.config, part, layout, part)


def _inside(joins: tuple[Join, ...], nodes: set[Node]) -> tuple[Join, ...]:
    return tuple(join for join in joins if join.source in nodes and join.target in nodes)


WEIGHT = "weight"  # the widget's key and the address's parameter
_FIRST = "first weight"  # key of the session: where the slider stands until it is moved
_STOPS = 24
DRAWN = 500  # edges: of more, the strongest are drawn unless one asks for others


def weight_field(shown: CircuitView) -> tuple[CircuitView, str]:
    """``shown`` with the edges that the slider lets through, and how many in words; places stay."""
    strengths = sorted(abs(edge.weight) for edge in shown.wiring.edges)
    stops = stops_of(strengths)
    if len(stops) < 2:
        return shown, f"showing all {len(strengths):,} edges"
    first = _first_stop(strengths, stops)
    asked = st.session_state.get(WEIGHT, st.query_params.get(WEIGHT))
    if asked is not None and asked == st.session_state.get(_FIRST):  # another circuit's first
        asked = st.session_state[WEIGHT] = first
    st.session_state[_FIRST] = first
    if asked is not None and asked not in stops:
        st.session_state[WEIGHT] = _nearest(asked, stops)
    least = st.select_slider(
        "Smallest weight shown",
        stops,
        value=None if WEIGHT in st.session_state else first,
        **bound(WEIGHT, first),
        width=100,
        label_visibility="collapsed",
        help="Smallest weight shown: weaker edges are hidden, but they still run. Those of the "
        "node under the mouse, or the one you look at, are drawn as well.",
    )
    count = sum(strength >= float(least) for strength in strengths)
    words = f"showing {count:,} of {len(strengths):,} edges, |w| ≥ {least}"
    return (shown if least == stops[0] else _strong(shown, cached.identity(shown), least)), words


def _first_stop(strengths: Sequence[float], stops: Sequence[str]) -> str:
    """The stop that is shown to begin with: it draws all edges, or at most the `DRAWN` strongest.

    >>> _first_stop([0.1, 0.2], ["0", "0.1", "0.2"])
    '0'
    >>> _first_stop([i / 1000 for i in range(1000)], ["0", "0.3", "0.6"])
    '0.6'
    """
    fits = (
        stop for stop in stops if sum(strength >= float(stop) for strength in strengths) <= DRAWN
    )
    return next(fits, stops[-1])


def stops_of(strengths: Sequence[float]) -> list[str]:
    """Stops between which about as many edges lie; the first draws all. ``strengths`` rise.

    >>> stops_of([0.1, 0.25, 0.5, 1.0])
    ['0', '0.1', '0.25', '0.5', '1']
    """
    if not strengths:
        return []
    last = len(strengths) - 1
    places = {round(i * last / _STOPS) for i in range(_STOPS + 1)}
    if last >= DRAWN:  # a few more among the strong ones, of which so many can be told apart
        places |= {last + 1 - max(DRAWN // part, 1) for part in (1, 2, 5, 20)}
    values = (_rounded_down(strengths[place]) for place in sorted(places))
    return ["0", *dict.fromkeys(value for value in values if float(value) > 0)]


def _rounded_down(value: float) -> str:
    """Three digits, not above the value: the edge at a stop is drawn."""
    text = f"{value:.3g}"
    return text if float(text) <= value else f"{float(text) - 10 ** _last_digit(value):.3g}"


def _last_digit(value: float) -> int:
    """The power of ten of the third digit.

    >>> _last_digit(0.0457), _last_digit(1.3)
    (-4, -2)
    """
    return int(f"{value:.2e}".split("e")[1]) - 2


def _nearest(asked: str, stops: Sequence[str]) -> str:
    try:
        wanted = float(asked)
    except ValueError:
        return stops[0]
    return min(stops, key=lambda stop: abs(float(stop) - wanted))


@shared()
def _strong(_shown: CircuitView, identity: int, least: str) -> PartView:
    wiring = _shown.wiring
    strong = tuple(edge for edge in wiring.edges if abs(edge.weight) >= float(least))
    part = Wiring(wiring.nodes, strong, wiring.residual, wiring.attention)
    return PartView(_shown.circuit, _shown.config, part, _shown.layout, wiring)
