"""The whole circuit as a graph: a click looks at a node, a double click runs without it."""

import streamlit as st

from circuit_sparsity.tasks import TASKS
from circuit_sparsity.ui.circuit import (
    colouring,
    export,
    film,
    graph,
    inspector,
    paths,
    recipe,
    reproduced,
    stored,
    tables,
    texts,
    views,
)
from circuit_sparsity.ui.shell import answers, cached, fetching, history, messages, state
from circuit_sparsity.ui.shell.cached import LiveView
from circuit_sparsity.ui.shell.page import circuit_page
from circuit_sparsity.ui.shell.pickers import Choice

_DRAWER = ("Recipe", "Tables", "Paths", "Texts", "Views", "Export", "About")
_ONE = "**Click a node** to look at it; **double click** it to see what the circuit loses."
_ALL_SIZES = "**Play**, or drag the slider, and see which nodes a larger circuit adds."


def page(choice: Choice) -> None:
    if not fetching.model_is_here(choice.model):
        reproduced.cannot(choice.model)
        stored.page(cached.stored(choice), lambda: texts.of_picked_node(choice))
        return
    with st.container(
        horizontal=True, vertical_alignment="center", gap="medium", key="circuit_views"
    ):
        is_stored = stored.asked()
        is_film = not is_stored and film.wanted()
        messages.tour_link()
    if is_stored:
        stored.page(cached.stored(choice), lambda: texts.of_picked_node(choice))
        return
    view = cached.live(choice)
    if is_film:
        st.markdown(_what_it_does(choice.task, _ALL_SIZES))
    if over := view.circuit.found.means_over:
        st.caption(
            f"This circuit uses means over {messages.plain(over)} instead of the model's own."
        )
    if is_film:
        answers.field(choice, view.experiment)
        with messages.in_place():
            film.page(view)
        return
    explore(view)
    answers.field(choice, view.experiment)
    reproduced.badge(view)


@st.fragment
def explore(view: LiveView) -> None:
    with messages.in_place():
        state.prepare(view)
        history.follow(view)
        messages.unknown_nodes(state.unknown_nodes(), view.circuit.title)
        left, right = graph.graph_and_panel()
        with left:
            colouring.graph_by_cost(view)
        with right:
            inspector.inspector(view)
        drawer(view)


def drawer(view: LiveView) -> None:
    """Below the graph, tab by tab, what takes more room than the inspector has."""
    tabs = dict(zip(_DRAWER, st.tabs(_DRAWER, key="drawer"), strict=True))
    with tabs["Recipe"]:
        recipe.section(view)
    with tabs["Tables"]:
        tables.tables(view)
    with tabs["Paths"]:
        paths.section(view)
    with tabs["Texts"]:
        texts.of_picked_node(view.choice)
    with tabs["Views"]:
        views.section(view)
    with tabs["Export"]:
        export.button(view)
    with tabs["About"]:
        st.markdown(_what_it_does(view.choice.task, _ONE))
        texts.account(view.circuit)


def _what_it_does(task: str, what_to_do: str) -> str:
    known = TASKS.get(task.removesuffix("_beeg"))  # how the release ends its tasks' names
    return (
        f"**{messages.plain(task)}**: {known.summary if known else 'a two-way question.'} "
        f"Only the nodes below run; everything else in the model is held at its mean. {what_to_do}"
    )


circuit_page("Circuit", page, needs="file")
