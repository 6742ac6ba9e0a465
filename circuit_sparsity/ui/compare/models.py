"""Models by held-out loss and by the size of their circuits."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import pandas as pd
import streamlit as st

from circuit_sparsity.evidence.frontier import TARGET, geometric_mean, smallest
from circuit_sparsity.experiment.scores import card_of
from circuit_sparsity.experiment.sizes import Sized, read_sized
from circuit_sparsity.plots.colours import palette
from circuit_sparsity.plots.curves import (
    ModelPoint,
    model_frontier_figure,
)
from circuit_sparsity.release import read_curves
from circuit_sparsity.store import Store
from circuit_sparsity.ui.shell.address import bound
from circuit_sparsity.ui.shell.fields import among
from circuit_sparsity.ui.shell.messages import plain
from circuit_sparsity.ui.shell.pickers import Choice

_TEXT, _TASKS = "frontier_text", "frontier_tasks"
_TRAINING = "the training's own test text"
_TEXTS = {"generated": "generated programs", "real": "standard library"}  # of our cards
Best = Mapping[str, Mapping[str, Sized]]  # by model, then by task


def frontier() -> None:
    """Every model here that has a held-out loss and circuits at the target."""
    st.subheader("Models: loss against the size of their circuits")
    st.markdown(
        "A good model predicts text well **and** does its tasks with few edges: lower and further "
        "left is better. One point a model."
    )
    losses, here = _losses(), _circuits()
    measured = Counter(text for model in here for text in losses.get(model, ()))
    if not measured:
        _nothing()
        return
    meaning = "Models are compared on one text; a different loss of bigrams means a different text."
    text = among("Held-out text", [text for text, _ in measured.most_common()], _TEXT, meaning)
    with_loss = {model: of for model, of in here.items() if text in losses.get(model, ())}
    tasks = _chosen_tasks([{choice.task for choice in of} for of in with_loss.values()])
    best = _best(with_loss, tasks)
    if tasks and not any(best.values()):
        _nothing()
        return
    points = [
        ModelPoint(
            model,
            losses[model][text],
            geometric_mean(of[task].edges for task in tasks),
            len(tasks),
        )
        for model, of in best.items()
        if tasks and set(of) == set(tasks)
    ]
    _draw(points, text, tasks, [model for model, of in best.items() if set(of) != set(tasks)])
    _numbers(best)


def _nothing() -> None:
    st.info(
        f"**No model here has both a held-out loss and a circuit at {TARGET} nats.** Models "
        "trained here keep their losses in `card.json`, released ones in their training "
        "curve, which the library downloads.",
        icon=":material/info:",
    )


def _chosen_tasks(of_models: Sequence[Collection[str]]) -> list[str]:
    """Those the mean runs over: begins with what all models have circuits of."""
    every = sorted({task for of in of_models for task in of})
    shared = [task for task in every if all(task in of for of in of_models)]
    if _TASKS not in st.session_state:
        asked = [task for task in st.query_params.get_all(_TASKS) if task in every]
        st.session_state[_TASKS] = asked or shared or every
    st.session_state[_TASKS] = [task for task in st.session_state[_TASKS] if task in every]
    chosen = st.multiselect(
        "Tasks in the mean", every, **bound(_TASKS), select_all=False,
        help="Means over different tasks cannot be compared, so every model is measured on the "
             "same ones.",
    )  # fmt: skip
    return sorted(chosen)


def _draw(points: Sequence[ModelPoint], text: str, tasks: Sequence[str], out: list[str]) -> None:
    if out and tasks:
        st.warning(
            f"Left out, as they lack one of these tasks: {plain(', '.join(out))}.",
            icon=":material/warning:",
        )
    if not points:
        st.info("Choose tasks for which a model here has circuits.", icon=":material/info:")
        return
    figure = model_frontier_figure(points, f"held-out loss on {text}, nats per token",
                             palette(st.context.theme.type))  # fmt: skip
    st.plotly_chart(figure, key="frontier", config={"displaylogo": False})
    alone = " One model alone is no frontier yet: train or download another." * (len(points) == 1)
    st.caption(
        f"Stored. Edges: the geometric mean over {len(tasks)} "
        f"task{'s' * (len(tasks) != 1)} ({plain(', '.join(tasks))}), for each, the circuit here "
        f"with the fewest edges that was found for a loss of {TARGET} nats or less, or reaches "
        "it. The line "
        f"joins models that no other beats in both.{alone}"
    )


def _numbers(best: Best) -> None:
    with st.expander("Which circuits count", icon=":material/table:"):
        rows = [
            {
                "model": model,
                "task": task,
                "circuit": f"{one.sweep} · {one.k}",
                "nodes": one.nodes,
                "edges": one.edges,
                "stored loss, nats": one.loss,
            }
            for model, of in best.items()
            for task, one in of.items()
        ]
        st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch")


def _losses() -> dict[str, dict[str, float]]:
    """Of each model that is here, its held-out losses in nats per token, by text."""
    store = Store.from_environment()
    here = [row.name for row in store.models() if row.where != "remote"]
    return {name: _held_out(store, name) for name in here}


def _held_out(store: Store, model: str) -> dict[str, float]:
    """From its card, and from the last entry of its training curve where it has no card."""
    try:
        held_out: dict[str, dict[str, float]] = (card_of(store, model) or {}).get("held_out", {})
        found = {_named(part, of): float(of["model"]) for part, of in held_out.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        st.warning(f"The card of {plain(model)} is damaged: {plain(repr(error))}.")
        found = {}
    if found:
        return found
    path = store.path_of_curve(model)
    curve = None if path is None else read_curves(path).get("test_xent")
    return {} if curve is None else {_TRAINING: curve.values[-1]}


def _named(part: str, of: Mapping[str, float]) -> str:
    """A text by its kind, and by what a bigram model has on it."""
    name = _TEXTS.get(part, part)
    return f"{name} (bigrams {of['bigram']:.3f})" if "bigram" in of else name


def _circuits() -> dict[str, list[Choice]]:
    """Of each model the circuits whose files are here."""
    found: dict[str, list[Choice]] = {}
    for row in Store.from_environment().rows():
        if row.where != "remote":
            found.setdefault(row.model, []).append(Choice(row.model, row.task, row.sweep, row.k))
    return found


def _best(
    here: Mapping[str, Sequence[Choice]], tasks: Collection[str]
) -> dict[str, dict[str, Sized]]:
    """Of each model the circuits that count; a file that cannot be read is named and left out."""
    store, bar = Store.from_environment(), st.empty()
    wanted = [choice for of in here.values() for choice in of if choice.task in tasks]
    found: dict[str, list[Sized]] = {model: [] for model in here}
    for done, choice in enumerate(wanted):
        bar.progress(done / len(wanted), f"Reading the circuits, {done} of {len(wanted)} …")
        try:
            found[choice.model].append(read_sized(store, *choice))
        except (ValueError, OSError) as error:
            st.warning(f"Left out: {plain(str(error))}", icon=":material/warning:")
    bar.empty()
    return {model: smallest(circuits) for model, circuits in found.items()}
