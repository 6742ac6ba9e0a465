"""The whole circuit as a graph; a click on a node switches it off and runs the task again."""

import streamlit as st

from circuit_sparsity.experiment.opening import MEANS_OVER
from circuit_sparsity.tasks import TASKS
from circuit_sparsity.ui.circuit import (
    colouring,
    film,
    graph,
    inspector,
    recipe,
    reproduced,
    stored,
    tables,
    texts,
)
from circuit_sparsity.ui.shell import answers, cached, fetching, history, messages, state
from circuit_sparsity.ui.shell.cached import LiveView
from circuit_sparsity.ui.shell.page import circuit_page
from circuit_sparsity.ui.shell.pickers import Choice

_ONE = "**Click a node** to switch it off as well and see what that costs."
_ALL_SIZES = "**Play**, or drag the slider, and see which nodes a larger circuit adds."


def page(choice: Choice) -> None:
    if not fetching.model_is_here(choice.model):
        reproduced.cannot(choice.model)
        stored.page(cached.stored(choice), lambda: texts.of_picked_node(choice))
        return
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        is_stored = stored.asked()
        is_film = not is_stored and film.wanted()
        messages.tour_link()
    if is_stored:
        stored.page(cached.stored(choice), lambda: texts.of_picked_node(choice))
        return
    view = cached.live(choice)
    st.markdown(_what_it_does(choice.task, _ALL_SIZES if is_film else _ONE))
    if not is_film:
        texts.account(view.circuit)
    if over := view.circuit.found.get(MEANS_OVER):
        st.caption(f"Its means are over {messages.plain(over)}, and not the model's own.")
    answers.field(choice, view.experiment)
    if is_film:
        with messages.in_place():
            film.page(view)
        return
    explore(view)
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
        with st.container():  # of its own: what comes below keeps its place, and stays open
            recipe.section(view)
        tables.tables(view)
        texts.of_picked_node(view.choice)


def _what_it_does(task: str, what_to_do: str) -> str:
    known = TASKS.get(task.removesuffix("_beeg"))  # how the release ends its tasks' names
    return (
        f"**{messages.plain(task)}**: {known.summary if known else 'a two-way question.'} "
        f"Only the nodes below run; everything else in the model is held at its mean. {what_to_do}"
    )


circuit_page("Circuit", page, needs="file")
