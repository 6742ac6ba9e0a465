"""Stored losses: over sizes, over a search, over a training, and of each sweep."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd
import streamlit as st

from circuit_sparsity.experiment.sizes import Sized, read_sized
from circuit_sparsity.plots.colours import palette
from circuit_sparsity.plots.curves import Axis, Line, line_figure
from circuit_sparsity.plots.words import stored_loss
from circuit_sparsity.release import Curve, read_curves
from circuit_sparsity.store import Store, paths
from circuit_sparsity.tasks.task import CHANCE_LOSS
from circuit_sparsity.ui.shell import cached, transfers
from circuit_sparsity.ui.shell.address import bound
from circuit_sparsity.ui.shell.cached import STORED_HELP, Stamp
from circuit_sparsity.ui.shell.jobs import begin, watch
from circuit_sparsity.ui.shell.messages import library_link, plain
from circuit_sparsity.ui.shell.pickers import Choice
from circuit_sparsity.ui.shell.transfers import ended_badly, running

CHANCE = 0.693147  # ln 2
_SIZES, _METRIC = "curve_sizes", "metric"
_LOSS = "task loss, nats per sequence"
_UNITS = {  # of what the files of the release and of this project hold
    "test_xent": "nats per token, held-out text",
    "train_xent": "nats per token, training text",
    "L0": "nonzero parameters",
    "L0_non_embed": "nonzero parameters without embeddings",
    "tokens": "tokens of text read",
    "tokens_per_second": "tokens per second",
    "num_alive_neurons": "neurons that fire at all",
}
_LOG = ("L0", "tokens")  # quantities that fall or grow by factors


def sizes(choice: Choice) -> None:
    """Stored loss over the number of nodes, for every circuit here of this model and task."""
    st.subheader("Loss against size", help=STORED_HELP)
    circuits = circuits_here(choice)
    known = _others(choice, len(circuits))
    by_sweep: dict[str, list[Sized]] = {}
    for one in circuits:
        by_sweep.setdefault(one.sweep, []).append(one)
    lines = [_sizes_line(sweep, of) for sweep, of in by_sweep.items()]
    current = cached.stored(choice).stored
    st.plotly_chart(
        line_figure(
            lines,
            Axis("nodes kept", log=True),
            Axis(_LOSS, log=True),
            palette(st.context.theme.type),
            _known({"chance": CHANCE, "whole model": current.model_loss}),
            clickable=True,
        ),
        key=_SIZES,
        on_select=_go_there,
        selection_mode="points",
        config={"displaylogo": False},
        alt="Stored loss of each circuit over its number of nodes; the table has the same numbers",
    )
    st.caption(
        f"Stored: each circuit on the prompts in its own file, everything else mean-ablated. "
        f"Baseline: the whole model as stored in the chosen circuit's file: "
        f"{stored_loss(current.model_loss)}. **Click a point** to choose that circuit.{known}"
    )
    with st.expander("As numbers", icon=":material/table:"):
        st.dataframe(pd.DataFrame(map(_size_row, circuits)), hide_index=True)


def _known(lines: Mapping[str, float]) -> dict[str, float]:
    """Those that are numbers: what a file does not store is no line."""
    return {name: value for name, value in lines.items() if not math.isnan(value)}


def search(choice: Choice) -> None:
    """How the loss fell during the search that found the chosen circuit."""
    file = cached.stored(choice).stored
    history = file.circuit.found.history
    st.subheader("The search", help="Kept in the circuit's file by whoever found it.")
    colours = palette(st.context.theme.type)
    if len(file.search) > 1:
        runs = Line("best so far", [p.runs for p in file.search], [p.loss for p in file.search])
        figure = line_figure(
            [runs], Axis("search runs"), Axis(_LOSS, log=True), colours, {"chance": CHANCE}
        )
        st.plotly_chart(figure, key="curve_search", config={"displaylogo": False})
        st.caption("Stored: the best loss that the search over settings had found after each run.")
    elif history:
        steps = [moment.step for moment in history]
        for name, axis in (("nodes", Axis("nodes still kept", log=True)), ("loss", Axis(_LOSS))):
            line = Line(axis.title, steps, [getattr(moment, name) for moment in history])
            st.plotly_chart(
                line_figure([line], Axis("pruning step"), axis, colours),
                key=f"curve_search_{name}",
                config={"displaylogo": False},
            )
        st.caption("Stored: while the masks were learnt, on the pairs of each step.")
    else:
        st.caption("The file does not record the course of its search, only the result.")
    rows = list(_settings(file.prune_config))
    if rows:
        with st.expander("The settings that found it", icon=":material/tune:"):
            st.dataframe(pd.DataFrame(rows, columns=["setting", "value"]), hide_index=True)
            st.caption("Stored, under the names used by whoever made the file.")


def _settings(found: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Single values, those of inner dictionaries too; courses and curves have pictures."""
    for name, value in found.items():
        if isinstance(value, Mapping):
            yield from _settings(value)
        elif not isinstance(value, list | tuple):
            yield name, str(value)


def training(model: str) -> None:
    """The training of a model: where it ended, and one quantity over the steps."""
    st.subheader("The training of the model")
    store = Store.from_environment()
    path = store.path_of_curve(model)
    if path is None:
        _no_curve(store, model)
        return
    curves = _curves(str(path), cached.stamp(path))
    families: dict[str, dict[str, Curve]] = {}
    for name, curve in curves.items():
        families.setdefault(_family(name), {})[name] = curve
    if not families:
        st.info(f"The training curve of {plain(model)} holds no numbers.", icon=":material/info:")
        return
    left, right = st.columns([0.55, 0.45], gap="medium")
    with left:
        _one_family(families)
    with right:
        st.markdown("**Where it ended**")
        rows = [
            {"quantity": name, "value": _number(curve.values[-1]), "unit": unit(name)}
            for name, curve in curves.items()
        ]
        st.table(pd.DataFrame(rows).set_index("quantity"))


def circuits_here(choice: Choice) -> list[Sized]:
    """Every circuit of this model and task that can be read; what cannot is said."""
    rows = [row for row in Store.from_environment().rows() if row.where != "remote"]
    of_task = [row for row in rows if (row.model, row.task) == (choice.model, choice.task)]
    found, store = [], Store.from_environment()
    with st.spinner("Reading the circuits …"):
        for row in of_task:
            try:
                found.append(read_sized(store, row.model, row.task, row.sweep, row.k))
            except (ValueError, OSError) as error:
                st.warning(f"Left out: {plain(str(error))}", icon=":material/warning:")
    return found


def unit(name: str) -> str:
    """What a quantity of a training counts.

    >>> unit("test_xent/generated"), unit("num_alive_neurons/c_fc/layer_0"), unit("x")
    ('nats per token, held-out text', 'neurons that fire at all', 'as the file names it')
    """
    return _UNITS.get(name.split("/")[0], "as the file names it")


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.5g}"


def _one_family(families: dict[str, dict[str, Curve]]) -> None:
    names = list(families)
    if st.session_state.get(_METRIC, st.query_params.get(_METRIC)) not in names:
        st.query_params[_METRIC] = st.session_state[_METRIC] = names[_first(names)]
    name = st.selectbox("Quantity", names, **bound(_METRIC))
    lines = [Line(part, c.steps, c.values) for part, c in families[name].items()]
    positive = all(value > 0 for line in lines for value in line.y)
    log = st.toggle("Logarithmic", name in _LOG, key=f"log {name}", disabled=not positive)
    figure = line_figure(
        lines,
        Axis("training step"),
        Axis(unit(name), log=log and positive),
        palette(st.context.theme.type),
    )
    st.plotly_chart(figure, key=f"curve_{name}", config={"displaylogo": False})
    st.caption(f"Stored: {plain(name)}, as measured while the model was trained.")


def _first(names: Sequence[str]) -> int:
    return names.index("test_xent") if "test_xent" in names else 0


def _family(name: str) -> str:
    """Quantities that differ by layer or text alone are one picture."""
    return name.split("/")[0]


def _no_curve(store: Store, model: str) -> None:
    name = paths.curve_name(model)
    job = transfers.find_fetch(store, (name,))
    if job is not None and job.active:
        watch([job], running)
        return
    if job is not None:
        ended_badly(job)
        for message in job.result().bad.values() if job.state == "done" else ():
            st.warning(plain(message), icon=":material/cloud_off:")
    st.info(
        f"**No training curve of {plain(model)} is on this machine.** The container has one for "
        "some models only; models trained here write theirs.",
        icon=":material/info:",
    )
    st.button(
        "Look for it in the container",
        icon=":material/download:",
        on_click=begin,
        args=(transfers.fetch, store, (name,), f"Training curve of {model}"),
    )
    library_link()


def _others(choice: Choice, here: int) -> str:
    rows = Store.from_environment().rows()
    known = sum((row.model, row.task) == (choice.model, choice.task) for row in rows)
    return f" {known - here} more are known but not on this machine." if known > here else ""


def _sizes_line(sweep: str, circuits: Sequence[Sized]) -> Line:
    ordered = sorted(circuits, key=lambda one: one.nodes)
    return Line(
        sweep,
        [one.nodes for one in ordered],
        [one.loss for one in ordered],
        [f"{sweep} · {one.k}" for one in ordered],
    )


def _size_row(one: Sized) -> dict[str, object]:
    return {
        "sweep": one.sweep,
        "k": one.k,
        "nodes": one.nodes,
        "edges": one.edges,
        "stored loss, nats": one.loss,
        "stored loss of the model, nats": one.model_loss,
    }


def _go_there() -> None:
    points = st.session_state[_SIZES]["selection"]["points"]
    if points:
        sweep, _, k = str(points[0]["customdata"]).partition(" · ")
        st.session_state["sweep"], st.session_state["k"] = sweep, k


@st.cache_data(max_entries=16, show_spinner="Reading the training curve …")
def _curves(path: str, version: Stamp) -> dict[str, Curve]:
    return dict(read_curves(Path(path)))


_SWEEP_LOSS = Axis("task loss, nats per sequence", log=True)


def sweeps(choice: Choice) -> None:
    """Every circuit here of the sidebar's model and task, one line a sweep."""
    st.subheader("Sweeps of this model and task")
    st.markdown(
        f"Which search found the better circuits of **{plain(choice.model)}** for "
        f"**{plain(choice.task)}**? Lower and further left is better."
    )
    circuits = circuits_here(choice)
    by_sweep: dict[str, list[Sized]] = {}
    for one in circuits:
        by_sweep.setdefault(one.sweep, []).append(one)
    columns = st.columns(2, gap="medium")
    for what, column in zip(("nodes", "edges"), columns, strict=True):
        lines = [_line(sweep, of, what) for sweep, of in by_sweep.items()]
        figure = line_figure(
            lines,
            Axis(f"{what} kept", log=all(x > 0 for line in lines for x in line.x)),
            _SWEEP_LOSS,
            palette(st.context.theme.type),
            _known({"chance": CHANCE_LOSS, "whole model": circuits[0].model_loss})
            if circuits
            else {},
        )
        column.plotly_chart(figure, key=f"sweeps_{what}", config={"displaylogo": False})
    st.caption(
        "Stored: each circuit on the prompts of its own file, everything else mean-ablated. "
        "Circuits found here are all measured on the same test split."
    )
    with st.expander("As numbers", icon=":material/table:"):
        st.dataframe(pd.DataFrame(map(_row, circuits)), hide_index=True, width="stretch")


def size_of(one: Sized, what: str) -> int:
    """Its nodes or its edges."""
    return one.nodes if what == "nodes" else one.edges


def _line(sweep: str, circuits: Sequence[Sized], what: str) -> Line:
    ordered = sorted(circuits, key=lambda one: size_of(one, what))
    return Line(
        sweep,
        [size_of(one, what) for one in ordered],
        [one.loss for one in ordered],
        [f"{sweep} · {one.k}" for one in ordered],
    )


def _row(one: Sized) -> dict[str, object]:
    return {
        "sweep": one.sweep,
        "k": one.k,
        "nodes": one.nodes,
        "edges": one.edges,
        "stored loss, nats": one.loss,
    }
