"""The frontier: how well each model predicts text against how small its circuits are."""

from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from circuit_sparsity.evidence.frontier import TARGET, Sized, geometric_mean, sized, smallest
from circuit_sparsity.opening import open_stored
from circuit_sparsity.plots.colours import palette
from circuit_sparsity.plots.compare_models import ModelPoint, frontier_figure
from circuit_sparsity.release import read_curves
from circuit_sparsity.scores import card_of
from circuit_sparsity.store import Store
from circuit_sparsity.ui import cached
from circuit_sparsity.ui.messages import plain
from circuit_sparsity.ui.pickers import Choice

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
    losses, best = _losses(), _best()
    texts = list(dict.fromkeys(text for model in best for text in losses.get(model, ())))
    if not texts:
        st.info(
            f"**No model here has both a held-out loss and a circuit at {TARGET} nats.** Models "
            "trained here keep their losses in `card.json`, released ones in their training "
            "curve, which the library downloads.",
            icon=":material/info:",
        )
        return
    _fit(_TEXT, texts, texts[0])
    text = str(
        st.segmented_control("Held-out text", texts, key=_TEXT, required=True, bind="query-params")
    )
    with_loss = {model: of for model, of in best.items() if text in losses.get(model, ())}
    tasks = _chosen_tasks(with_loss)
    points = [
        ModelPoint(
            model,
            losses[model][text],
            geometric_mean(of[task].edges for task in tasks),
            len(tasks),
        )
        for model, of in with_loss.items()
        if tasks and _has(of, tasks)
    ]
    _draw(points, text, tasks, [model for model, of in with_loss.items() if not _has(of, tasks)])
    _numbers(with_loss, tasks)


def _chosen_tasks(best: Best) -> list[str]:
    """Those the mean runs over: begins with what all models have."""
    every = sorted({task for of in best.values() for task in of})
    shared = [task for task in every if all(task in of for of in best.values())]
    if _TASKS not in st.session_state:
        asked = [task for task in st.query_params.get_all(_TASKS) if task in every]
        st.session_state[_TASKS] = asked or shared or every
    st.session_state[_TASKS] = [task for task in st.session_state[_TASKS] if task in every]
    chosen = st.multiselect(
        "Tasks of the mean", every, key=_TASKS, bind="query-params", select_all=False,
        help="A mean over other tasks is another number: models are compared on the same ones.",
    )  # fmt: skip
    return sorted(chosen)


def _draw(points: Sequence[ModelPoint], text: str, tasks: Sequence[str], out: list[str]) -> None:
    if out and tasks:
        st.warning(
            f"Left out, as they lack one of these tasks: {plain(', '.join(out))}.",
            icon=":material/warning:",
        )
    if not points:
        st.info("Choose tasks of which a model here has circuits.", icon=":material/info:")
        return
    figure = frontier_figure(points, f"held-out loss on {text}, nats per token",
                             palette(st.context.theme.type))  # fmt: skip
    st.plotly_chart(figure, key="frontier", config={"displaylogo": False})
    alone = " One model alone is no frontier yet: train or download another." * (len(points) == 1)
    st.caption(
        f"Stored. Edges: the geometric mean over {len(tasks)} "
        f"task{'s' * (len(tasks) != 1)} ({plain(', '.join(tasks))}), of each the circuit here of "
        f"fewest edges that was found for a loss of {TARGET} nats or less, or reaches it. The line "
        f"joins models that no other beats in both.{alone}"
    )


def _numbers(best: Best, tasks: Sequence[str]) -> None:
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
            if task in tasks
        ]
        st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch")


def _has(of: Mapping[str, Sized], tasks: Sequence[str]) -> bool:
    return all(task in of for task in tasks)


def _fit(key: str, options: Sequence[str], default: str) -> None:
    """Begin with what the link says, or with the default."""
    asked = st.session_state.get(key, st.query_params.get(key))
    if asked not in options:
        st.session_state[key] = st.query_params[key] = default


def _losses() -> dict[str, dict[str, float]]:
    """Of each model that is here, its held-out losses in nats per token, by text."""
    store = Store.from_environment()
    here = [row.name for row in store.models() if row.where != "remote"]
    return {name: _held_out(store, name) for name in here}


def _held_out(store: Store, model: str) -> dict[str, float]:
    """From its card, and from the last entry of its training curve where it has no card."""
    try:
        held_out: dict[str, dict[str, float]] = (card_of(store, model) or {}).get("held_out", {})
        found = {_TEXTS.get(part, part): float(of["model"]) for part, of in held_out.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        st.warning(f"The card of {plain(model)} is damaged: {plain(repr(error))}.")
        found = {}
    if found:
        return found
    path = store.path_of_curve(model)
    curve = None if path is None else read_curves(path).get("test_xent")
    return {} if curve is None else {_TRAINING: curve.values[-1]}


def _best() -> dict[str, dict[str, Sized]]:
    """Of each model the circuits that count; a file that cannot be read is named and left out."""
    store = Store.from_environment()
    found: dict[str, list[Sized]] = {}
    rows = [row for row in store.rows() if row.where != "remote"]
    bar = st.empty()
    for done, row in enumerate(rows):
        choice = Choice(row.model, row.task, row.sweep, row.k)
        bar.progress(done / len(rows), f"Reading the circuits, {done} of {len(rows)} …")
        try:
            one = _sized(choice, cached.stamp(store.path_of_viz(*choice)))
            found.setdefault(row.model, []).append(one)
        except (ValueError, OSError) as error:
            st.warning(f"Left out: {plain(str(error))}", icon=":material/warning:")
    bar.empty()
    best = {model: smallest(circuits) for model, circuits in found.items()}
    return {model: of for model, of in best.items() if of}


@st.cache_resource(max_entries=4096, show_spinner=False)
def _sized(choice: Choice, version: cached.Stamp) -> Sized:
    """Kept for every circuit there is: their files are too large to be read again, or kept."""
    return sized(open_stored(Store.from_environment(), *choice))
