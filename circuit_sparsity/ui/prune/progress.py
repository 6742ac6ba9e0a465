"""How a pruning goes on and how it ended, as cards: stage, bar, curve, circuit, buttons."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.circuits.wiring import wiring
from circuit_sparsity.core.names import Location
from circuit_sparsity.experiment.experiment import Cancelled
from circuit_sparsity.plots.colours import palette
from circuit_sparsity.plots.curves import Axis, Line, line_figure
from circuit_sparsity.plots.film import places_figure
from circuit_sparsity.plots.graph import Figure, circuit_figure
from circuit_sparsity.plots.layout import lay_out
from circuit_sparsity.pruning.request import PruneRequest
from circuit_sparsity.store import Store
from circuit_sparsity.store.progress import time_in_words
from circuit_sparsity.tasks.task import CHANCE_LOSS
from circuit_sparsity.ui.prune.jobs import (
    PruningProgress,
    PruningResult,
    SizePoint,
    Unfinished,
    prune,
    unfinished,
)
from circuit_sparsity.ui.shell import cached, pickers
from circuit_sparsity.ui.shell.jobs import Job, jobs, watch
from circuit_sparsity.ui.shell.messages import plain
from circuit_sparsity.ui.shell.shared import shared

_STAGES = {
    "open": "Opening the model",
    "masks": "Learning masks",
    "size": "Deciding how many nodes stay",
    "nodes": "Removing nodes that are not needed",
    "edges": "Looking for edges that are not needed",
    "measure": "Measuring what the file holds",
    "disk full": "Waiting until the disk has room",
}
_LOSS = Axis("loss, nats per sequence")
_NODES = Axis("nodes on", log=True)
_HEIGHT = 250
_PAGES = {"circuit": "pages/circuit.py", "evidence": "pages/evidence.py"}


def cards() -> None:
    """Every pruning that runs, for whichever browser, then those that ended and those cut off."""
    _cards("prune")
    _cut_off()


def cards_of_sizes() -> None:
    """The same for circuits that were asked for at another size of a run."""
    _cards("cut")


def _cards(kind: str) -> None:
    """Of one kind: those that run, then those that ended, newest first."""
    known = jobs().all((kind,))
    watch([job for job in known if job.active], running)
    for job in reversed(known):
        if not job.active:
            _ended(job)


def _cut_off() -> None:
    """Prunings that ended with the app, each with a button that asks for the same again."""
    store = Store.from_environment()
    for one in unfinished(store):
        if one.request is None:
            said = f"{plain(one.trouble)}. A pruning that was interrupted cannot be started again."
        else:
            said = (
                f"{plain(one.title)} was interrupted when the app closed. Nothing half-written "
                "is left; start it again and it gives the same circuit."
            )
        st.warning(said, icon=":material/power_off:")
        with st.container(horizontal=True):
            if one.request is not None:
                st.button(
                    "Start again",
                    key=f"again {one.path.stem}",
                    icon=":material/restart_alt:",
                    on_click=_again,
                    args=(store, one.request, one),
                )
            st.button("Forget it", key=f"forget {one.path.stem}", on_click=one.forget)


def _again(store: Store, request: PruneRequest, one: Unfinished) -> None:
    try:
        one.forget()
        prune(store, request, one.task)
    except OSError as error:
        st.error(plain(str(error)), icon=":material/error:")


def running(job: Job) -> None:
    """Stage, bar, so_far so far, and a button that stops."""
    so_far = job.progress if isinstance(job.progress, PruningProgress) else PruningProgress()
    with st.container(border=True):
        words, button = st.columns([0.78, 0.22], vertical_alignment="center")
        took = time_in_words(job.seconds)
        words.markdown(f"**{plain(job.title)}** — {stage_in_words(so_far)}, {took} so far")
        button.button(
            "Stopping …" if job.stopping else "Cancel",
            key=f"stop {hash(job.key)}",
            icon=":material/stop_circle:",
            disabled=job.stopping,
            on_click=job.stop,
            width="stretch",
        )
        if so_far.trouble:
            st.error(
                f"{plain(so_far.trouble)} The circuit is found and not lost: it is saved as soon "
                "as there is room.",
                icon=":material/disc_full:",
            )
        st.progress(_share(so_far), text=_now(so_far))
        _figures(so_far, str(hash(job.key)))
        if so_far.model and not so_far.is_of_curve:
            _circuit_so_far(so_far.model, so_far.nodes, str(hash(job.key)))


def stage_in_words(so_far: PruningProgress) -> str:
    """
    >>> stage_in_words(PruningProgress("masks", 20, 200))
    'Learning masks, 20 of 200'
    >>> stage_in_words(PruningProgress("size", 3, 3))
    'Deciding how many nodes stay, 3 tried'
    """
    if so_far.is_of_curve:
        return "Measuring the loss at other sizes"
    place = f", {so_far.done} of {so_far.of}" if so_far.of else ""
    if so_far.stage == "size":
        place = f", {so_far.done} tried"
    return f"{_STAGES[so_far.stage]}{place}"


def _share(so_far: PruningProgress) -> float:
    """How much of a stage is done; nothing where nobody knows how many sizes will be tried."""
    known = so_far.of and so_far.stage != "size"
    return min(1.0, so_far.done / so_far.of) if known else 0.0


def _now(so_far: PruningProgress) -> str:
    if not so_far.points:
        return "…"
    last = so_far.points[-1]
    return f"Nodes on: {last.nodes:,}, loss {last.loss:.4f} nats per sequence (chance 0.693)"


def _figures(so_far: PruningProgress, key: str) -> None:
    """The masks over steps, and the loss over sizes, as far as there are any."""
    colours, masks = palette(st.context.theme.type), so_far.at("masks")
    levels = {"chance": CHANCE_LOSS} | ({"target": so_far.target} if so_far.target else {})
    figures = {}
    if masks:
        steps = [point.done for point in masks]
        loss = Line("loss", steps, [point.loss for point in masks])
        nodes = Line("nodes", steps, [point.nodes for point in masks])
        x = Axis("step")
        figures["loss"] = line_figure([loss], x, _LOSS, colours, levels, _HEIGHT)
        figures["nodes"] = line_figure([nodes], x, _NODES, colours, height=_HEIGHT)
    lines = [
        _over_nodes("sizes tried", so_far.at("size")),
        _over_nodes("removal", so_far.at("nodes")),
    ]
    lines = [line for line in lines if line.x]
    if lines:
        figures["sizes"] = line_figure(lines, _NODES, _LOSS, colours, levels, _HEIGHT)
    columns = st.columns(max(2, len(figures)))  # one figure alone would be too wide
    for column, (name, figure) in zip(columns, figures.items(), strict=False):
        column.plotly_chart(
            figure,
            key=f"so_far {name} {key}",
            config={"displaylogo": False, "displayModeBar": False},
        )


def _over_nodes(name: str, points: Sequence[SizePoint]) -> Line:
    by_size = sorted({point.nodes: point.loss for point in points if point.nodes}.items())
    return Line(name, [nodes for nodes, _ in by_size], [loss for _, loss in by_size])


def _ended(job: Job) -> None:
    key = hash(job.key)
    words, close = st.columns([0.94, 0.06])
    with words:
        if isinstance(job.error, Cancelled) or job.state == "stopped":
            st.info(
                f"{plain(job.title)} was stopped; nothing is stored.",
                icon=":material/pause_circle:",
            )
        elif job.error is not None:
            st.error(f"{plain(job.title)}: {plain(str(job.error))}", icon=":material/error:")
        else:
            _done(job, job.result())
        so_far = job.progress
        if isinstance(so_far, PruningProgress) and so_far.points:
            with st.expander("How it went", icon=":material/show_chart:"):
                _figures(so_far, str(key))
                st.caption(
                    "Live. Steps: on the pairs of each step. Sizes and removal: the larger loss of "
                    "evaluation and validation prompts, everything else mean-ablated."
                )
    close.button(
        "",
        key=f"dismiss {key}",
        icon=":material/close:",
        help="Dismiss; the circuit stays",
        type="tertiary",
        on_click=jobs().forget,
        args=(job.key,),
    )


def _done(job: Job, found: PruningResult) -> None:
    name = plain(" · ".join(found.choice))
    said = (
        f"**{name}**: {found.nodes:,} nodes and {found.edges:,} edges, "
        f"in {time_in_words(job.seconds)}. Loss in nats per sequence: **{found.test_loss:.4f}** "
        f"on {found.prompts} (the whole model {found.model_loss:.4f}, chance {CHANCE_LOSS:.3f}); "
        f"{found.loss:.4f} on the prompts used to choose the size."
    )
    if found.test_loss < CHANCE_LOSS:
        st.success(said, icon=":material/check:")
    else:
        doubt = f"**That is no better than a guess.** {_advice(found)}"
        st.warning(f"{said} {doubt}", icon=":material/warning:")
    if found.minimality:
        st.caption(removal_in_words(found.minimality))
    with st.container(horizontal=True):
        for page, label, icon in (
            ("circuit", "Open the circuit", ":material/hub:"),
            ("evidence", "Is it real? Evidence", ":material/fact_check:"),
        ):
            if st.button(
                label,
                key=f"{page} {hash(job.key)}",
                icon=icon,
                type="primary" if page == "circuit" else "secondary",
                on_click=pickers.go_to,
                args=(found.choice,),
            ):
                # Without parameters of its own it would refuse: the sidebar's are bound to widgets.
                st.switch_page(_PAGES[page], query_params={})


def _advice(found: PruningResult) -> str:
    if found.model_loss < CHANCE_LOSS:
        return "More nodes may do the task, or the longer search (Full)."
    return "Neither is the whole model: choose a task that it can do, or another model."


def removal_in_words(told: Mapping[str, Any]) -> str:
    """
    >>> removal_in_words({"nodes_before": 8, "edges_before": 9, "nodes": 4, "edges": 3,
    ...     "edges_needed": 2, "loss_without_spare_edges": 0.149})
    'Removal: 8 → 4 nodes, 9 → 3 edges; 2 edges are needed: with these alone the loss is \
0.1490 nats per sequence on the prompts used to choose the size.'
    """
    spare = told["edges"] - told["edges_needed"]
    words = (
        f"Removal: {told['nodes_before']:,} → {told['nodes']:,} nodes, "
        f"{told['edges_before']:,} → {told['edges']:,} edges; "
    )
    if not spare:
        return f"{words}all of them are needed."
    return (
        f"{words}{told['edges_needed']:,} edges are needed: with these alone the loss is "
        f"{told['loss_without_spare_edges']:.4f} nats per sequence on the prompts used to choose "
        "the size."
    )


_FEW = 150  # nodes up to which the graph is drawn: it takes a fraction of a second, each time anew

Nodes = Mapping[Location, tuple[int, ...]]


def _circuit_so_far(model: str, nodes: Nodes, key: str) -> None:
    """The nodes that are on now: as a graph, or as counts while they are many."""
    size = sum(map(len, nodes.values()))
    if not size:
        return
    st.plotly_chart(
        _figure(model, tuple(nodes.items()), st.context.theme.type),
        key=f"_circuit_so_far {key}",
        config={"displaylogo": False, "displayModeBar": False},
        alt=f"The {size} nodes that are on now",
    )
    if size > _FEW:
        st.caption(f"Nodes on at each place; their graph from {_FEW} nodes down.")
    else:
        st.caption("The circuit so far: nodes that are on, and the weights between them.")


@shared()
def _figure(
    model_name: str, nodes: tuple[tuple[Location, tuple[int, ...]], ...], theme: str | None
) -> Figure:
    model, kept = cached.model(model_name), dict(nodes)
    circuit = Circuit(kept, model_name, "", "", "")
    if circuit.size > _FEW:
        return places_figure(kept, model.config, palette(theme))
    wired = wiring(circuit, model)
    joins = [(edge.source, edge.target) for edge in wired.edges]
    placed = lay_out(wired.nodes, joins, model.config.d_head)
    return circuit_figure(wired, placed, model.config, palette(theme))
