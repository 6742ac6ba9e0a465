"""The whole circuit as a graph; a click on a node switches it off and runs the task again."""

import streamlit as st

from circuit_sparsity.tasks import TASKS
from circuit_sparsity.ui.circuit import (
    account,
    arrangement,
    film,
    overview,
    panels,
    recipe,
    reproduced,
    stored,
    texts,
)
from circuit_sparsity.ui.shell import answers, cached, fetching, history, messages, pickers, state
from circuit_sparsity.ui.shell.cached import Scene

_ONE = "**Click a node** to switch it off as well and see what that costs."
_ALL_SIZES = "**Play**, or drag the slider, and see which nodes a larger circuit adds."


def page() -> None:
    choice = pickers.chosen()
    if choice is None:
        messages.no_circuits(pickers.chosen_model())
        return
    pickers.link_trouble()
    if not fetching.circuit_is_here(choice):
        return
    if not fetching.model_is_here(choice.model):
        reproduced.cannot(choice.model)
        stored.page(stored.scene(choice), lambda: texts.of_picked_node(choice))
        return
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        is_stored = stored.asked()
        is_film = not is_stored and film.wanted()
        messages.tour_link()
    if is_stored:
        stored.page(stored.scene(choice), lambda: texts.of_picked_node(choice))
        return
    scene = cached.scene(choice)
    st.markdown(_what_it_does(choice.task, _ALL_SIZES if is_film else _ONE))
    if not is_film:
        account.section(scene.circuit)
    if over := scene.circuit.found.means_over:
        st.caption(f"Its means are over {messages.plain(over)}, and not the model's own.")
    answers.field(choice, scene.experiment)
    if is_film:
        with messages.in_place():
            film.page(scene)
        return
    explore(scene)
    reproduced.badge(scene)


@st.fragment
def explore(scene: Scene) -> None:
    with messages.in_place():
        state.prepare(scene)
        history.follow(scene)
        messages.unknown_nodes(state.unknown_nodes(), scene.circuit.title)
        left, right = arrangement.graph_and_panel()
        with left:
            overview.graph_by_cost(scene)
        with right:
            panels.inspector(scene)
        with st.container():  # of its own: what comes below keeps its place, and stays open
            recipe.section(scene)
        overview.tables(scene)
        texts.of_picked_node(scene.choice)


def _what_it_does(task: str, what_to_do: str) -> str:
    known = TASKS.get(task.removesuffix("_beeg"))  # how the release ends its tasks' names
    return (
        f"**{messages.plain(task)}**: {known.summary if known else 'a two-way question.'} "
        f"Only the nodes below run; everything else in the model is held at its mean. {what_to_do}"
    )


st.title("Circuit")
with messages.in_place():
    page()
