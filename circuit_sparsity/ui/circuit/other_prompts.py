"""The recipe on other prompts, and as Python that prints the number that stands here."""

from collections.abc import Mapping

import streamlit as st

from circuit_sparsity.circuits.recipe import Recipe
from circuit_sparsity.core.tokenizer import Tokenizer
from circuit_sparsity.experiment.experiment import Experiment
from circuit_sparsity.experiment.recipes import (
    TASK_PAIRS,
    OtherPrompts,
    Where,
    faithfulness_of,
    snippet,
)
from circuit_sparsity.plots.words import signed
from circuit_sparsity.tasks import TASKS
from circuit_sparsity.tasks.task import Pair, Prompt
from circuit_sparsity.ui.shell import cached, messages
from circuit_sparsity.ui.shell.address import bound
from circuit_sparsity.ui.shell.cached import LiveView
from circuit_sparsity.ui.shell.fields import among
from circuit_sparsity.ui.shell.messages import plain
from circuit_sparsity.ui.shell.shared import shared

WHERE = "replay"  # keys of widgets and parameters of the address
_PAIR, _TASK = "replay_pair", "replay_task"
_FIELDS = ("replay_first", "replay_first_answer", "replay_second", "replay_second_answer")
_WHERES: Mapping[str, Where] = {  # what the address says
    "its own prompts": "own",
    "one of its pairs": "pair",
    "two texts of mine": "text",
    "another task": "task",
}
_OWN = next(iter(_WHERES))
_DELTA_HELP = (
    "Rise in the mean task loss caused by the recipe on these prompts, in nats per sequence. "
    "Baseline: "
    "the circuit with nothing changed, on the same prompts."
)


def section(view: LiveView, recipe: Recipe) -> None:
    """Where to replay, what comes of it, and the snippet."""
    asked = st.session_state.get(WHERE, st.query_params.get(WHERE, _OWN))
    with (
        st.expander(
            "Replay on other prompts, or as Python",
            expanded=asked != _OWN,
            icon=":material/replay:",
        ),
        messages.in_place(),
    ):
        there = _chosen(view)
        if not len(recipe):
            st.caption("Change something first; the same change is then replayed on these prompts.")
            return
        _result(view, recipe, there)
        st.code(snippet(view.circuit, recipe, there), language="python")
        st.caption("Copy it: wherever this project is installed, it prints the number above.")


def _chosen(view: LiveView) -> OtherPrompts:
    where = _WHERES[among("Prompts", list(_WHERES), WHERE)]
    if where == "pair":
        pairs = view.experiment.batch.n_pairs
        number = st.number_input(f"Pair, 1 to {pairs}", 1, pairs, **bound(_PAIR, 1), width=160)
        return OtherPrompts("pair", pair=int(number) - 1)
    if where == "task":
        task = st.selectbox("Task", sorted(TASKS), **bound(_TASK, min(TASKS)))
        st.caption(f"{TASKS[task].summary} The first {TASK_PAIRS} pairs of its test split.")
        return OtherPrompts("task", task=task)
    return OtherPrompts("text", text=_texts(view)) if where == "text" else OtherPrompts()


def _texts(view: LiveView) -> tuple[Prompt, Prompt]:
    """Two texts with their right answers; each answer is the other text's wrong one."""
    example = _example(view.experiment, cached.tokenizer(view.choice.model))
    begun = (example.positive.text, example.positive.right)
    begun += (example.negative.text, example.negative.right)
    said = []
    for field, name, value in zip(
        _FIELDS, ("First text", "and its right answer", "Second text", "and its own right answer"),
        begun, strict=True,
    ):  # fmt: skip
        if field not in st.session_state and field not in st.query_params:
            st.query_params[field] = st.session_state[field] = value
        height = 100 if field in _FIELDS[::2] else 70
        said.append(st.text_area(name, height=height, **bound(field)))
    first, first_answer, second, second_answer = said
    return (
        Prompt(first, first_answer, second_answer),
        Prompt(second, second_answer, first_answer),
    )


def _example(experiment: Experiment, tokenizer: Tokenizer) -> Pair:
    """A pair of a task that is known, new to the circuit; else the first of its own."""
    task = experiment.circuit.task
    if task in TASKS:
        return TASKS[task].pairs("validation", 1)[0]
    batch = experiment.batch
    made = []
    for row in (0, batch.n_pairs):
        text = tokenizer.decode(batch.tokens[row, : int(batch.last[row]) + 1].tolist())
        answers = (tokenizer.decode([int(x[row])]) for x in (batch.right, batch.wrong))
        made.append(Prompt(text, *answers))
    return Pair(*made)


def _result(view: LiveView, recipe: Recipe, there: OtherPrompts) -> None:
    moved = _taken(view, cached.identity(view), there)
    with st.spinner("Running these prompts …"):
        found = moved.apply(recipe)
        faithful = faithfulness_of(moved, found.after)
    before, after, of_model = found.before, found.after, moved.of_model
    st.metric(
        "Rise of the loss, replayed",
        f"{signed(found.delta, 4)} nats",
        f"from {before.loss:.4f} to {after.loss:.4f}",
        delta_color="off",
        delta_arrow="off",
        help=_DELTA_HELP,
    )
    rows: Mapping[str, list] = {
        "run": ["whole model", "circuit", "circuit with the recipe"],
        "task loss, nats": [of_model.loss, before.loss, after.loss],
        "p(right)": [of_model.p_right, before.p_right, after.p_right],
        "right of two": [of_model.accuracy, before.accuracy, after.accuracy],
    }
    st.dataframe(rows, hide_index=True, width="content")
    undefined = "undefined here: model and empty circuit are as good as each other"
    st.caption(
        f"Live, on {plain(moved.batch_name)}; chance is 0.6931 nats. Faithfulness with the "
        f"recipe: {undefined if faithful is None else format(faithful, '.3f')}."
    )


@shared("Preparing these prompts …")
def _taken(_view: LiveView, identity: int, there: OtherPrompts) -> Experiment:
    return there.take(_view.experiment)
