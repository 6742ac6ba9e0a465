"""Parts of the evidence page: measures, controls, curves, single nodes, and measuring them."""

import pandas as pd
import streamlit as st

from circuit_sparsity.evidence.curves import fraction_sizes
from circuit_sparsity.evidence.definitions import DEFINITIONS
from circuit_sparsity.evidence.evidence import EVIDENCE, Evidence, read_evidence
from circuit_sparsity.evidence.prunings import SEEDS
from circuit_sparsity.experiment.experiment import Cancelled
from circuit_sparsity.experiment.opening import task_of
from circuit_sparsity.plots.colours import palette
from circuit_sparsity.plots.curves import Axis, Line, line_figure
from circuit_sparsity.plots.evidence import controls_table, measures_table
from circuit_sparsity.pruning.size import log_grid
from circuit_sparsity.store import Store
from circuit_sparsity.store.progress import time_in_words
from circuit_sparsity.tasks.task import CHANCE_LOSS
from circuit_sparsity.ui.evidence import jobs as measuring_jobs
from circuit_sparsity.ui.evidence.jobs import MeasuringProgress
from circuit_sparsity.ui.shell import cached, fetching, pickers
from circuit_sparsity.ui.shell.fields import pressed
from circuit_sparsity.ui.shell.jobs import Job, jobs, watch
from circuit_sparsity.ui.shell.messages import plain
from circuit_sparsity.ui.shell.pickers import Choice

_NODES = Axis("nodes kept", log=True)


def read(choice: Choice) -> Evidence | None:
    """The stored evidence of the chosen circuit; a damaged file is named, and counts as none."""
    try:
        return read_evidence(Store.from_environment(), cached.stored(choice).circuit)
    except ValueError as error:
        st.error(f"{plain(str(error))}, or measure again.", icon=":material/error:")
        return None


def measuring(choice: Choice, evidence: Evidence | None) -> None:
    """What is missing as buttons; how a measuring goes on, and how it ended."""
    store = Store.from_environment()
    job = measuring_jobs.find(store, choice)
    if job is not None and job.active:
        watch([job], _running)
    elif fetching.model_is_here(choice.model):
        _buttons(store, choice, evidence)
    if job is not None and not job.active:
        _ended(job)


def _buttons(store: Store, choice: Choice, evidence: Evidence | None) -> None:
    experiment = cached.live(choice).experiment
    missing = measuring_jobs.missing(evidence)
    has_task = task_of(store, experiment.circuit) is not None
    if evidence is not None and missing:
        st.caption(f"Not measured yet, because it means pruning again: {', '.join(missing)}.")
    with st.container(horizontal=True):
        if pressed(
            "Measure" if evidence is None else "Measure again",
            "evidence_short",
            icon=":material/straighten:",
            type="primary" if evidence is None else "secondary",
            meaning="Everything that needs no pruning, random circuits included: under a minute "
            "for a small model.",
        ):
            measuring_jobs.start(store, choice, experiment, False)
            st.rerun()
        if missing:
            label = "Measure what is missing" if evidence else "Measure all, pruning again"
            if pressed(
                label,
                "evidence_long",
                icon=":material/hourglass_top:",
                type="primary" if evidence is not None else "secondary",
                disabled=not has_task,
                meaning=_long_help(has_task),
            ):
                measuring_jobs.start(store, choice, experiment, True)
                st.rerun()


def _long_help(has_task: bool) -> str:
    if not has_task:
        return (
            "This needs a circuit that was found here: a released file does not say how its "
            "prompts are made."
        )
    return (
        "Prunes again with the settings that found this circuit: once for shuffled answers, once "
        f"in an untrained model, and from {len(SEEDS)} seeds. It takes many times as long as the "
        "pruning itself; each part is stored as soon as it is measured."
    )


def nothing_yet(choice: Choice) -> None:
    """The page of a circuit whose evidence nobody has measured; others that have some."""
    for other in _measured(choice):
        st.button(
            f"Open {plain(f'{other.sweep} · {other.k}')}, whose evidence is here",
            icon=":material/fact_check:",
            on_click=pickers.go_to,
            args=(other,),
        )
    st.info(
        "**No evidence for this circuit is stored yet.** A low loss alone proves nothing: "
        "learned masks reach one on shuffled answers and in untrained models too. The measures "
        "are:\n\n" + "\n".join(f"- **{one.name}**: {one.sentence}" for one in DEFINITIONS.values()),
        icon=":material/fact_check:",
    )


def _measured(choice: Choice) -> list[Choice]:
    """Circuits of the same model and task that have evidence beside them."""
    store = Store.from_environment()
    rows = (Choice(row.model, row.task, row.sweep, row.k) for row in store.rows())
    alike = [row for row in rows if row[:2] == choice[:2]]
    files = [store.path_of_viz(*row) for row in alike]
    return [
        row
        for row, file in zip(alike, files, strict=True)
        if file is not None and (file.parent / EVIDENCE).is_file()
    ]


def tables(evidence: Evidence) -> None:
    """Every measure with its controls, then each control beside the circuit; both folded."""
    colours = palette(st.context.theme.type)
    with st.expander("All measures", icon=":material/straighten:"):
        st.caption(
            f"Stored, measured on {plain(evidence.prompts)}. Hover over a name for what it means. "
            f"{evidence.nodes:,} nodes, {evidence.edges:,} edges. Losses in nats per sequence."
        )
        st.html(measures_table(evidence, colours))
        st.markdown(
            "\n".join(f"- **{one.name}** ({one.unit}): {one.sentence} {one.anchor.capitalize()}."
                      for one in DEFINITIONS.values())
        )  # fmt: skip
    with st.expander("Controls", icon=":material/rule:"):
        st.caption(DEFINITIONS["controls"].sentence)
        if not evidence.controls:
            st.caption("None run.")
            return
        st.html(controls_table(evidence, colours))
        st.caption(
            "Stored, nats per sequence. A control should have a **high** loss alone, and the "
            "model without it a **low** one; the circuit beside it is measured on the same "
            f"prompts. Chance is {CHANCE_LOSS:.3f}."
        )


def curves(evidence: Evidence) -> None:
    """Faithfulness and loss of the nested circuits, on both grids."""
    with st.expander("Faithfulness and loss over sizes", icon=":material/show_chart:"):
        if evidence.curve:
            _curves(evidence)
        else:
            st.caption("Not measured.")


def _curves(evidence: Evidence) -> None:
    grids = {
        "published fractions": set(fraction_sizes(evidence.model_nodes)),
        "log grid": set(log_grid(evidence.model_nodes)),
    }
    left, right = st.columns(2, gap="medium")
    faithful, losses = [], []
    for name, sizes in grids.items():
        points = [p for p in evidence.curve if p.nodes in sizes]
        losses.append(Line(name, [p.nodes for p in points], [p.loss for p in points]))
        known = [(p.nodes, p.faithfulness) for p in points if p.faithfulness is not None]
        faithful.append(Line(name, [n for n, _ in known], [f for _, f in known]))
    colours = palette(st.context.theme.type)
    if any(line.x for line in faithful):
        y = Axis("faithfulness, ratio")
        figure = line_figure(faithful, _NODES, y, colours, {"model": 1.0, "empty circuit": 0.0})
        left.plotly_chart(figure, key="evidence_faithfulness", config={"displaylogo": False})
    else:
        left.info("Faithfulness is undefined: model and empty circuit have about the same loss.")
    levels = {"chance": CHANCE_LOSS, "whole model": evidence.model_loss}
    y = Axis("loss, nats per sequence")
    figure = line_figure(losses, _NODES, y, colours, levels)
    right.plotly_chart(figure, key="evidence_losses", config={"displaylogo": False})
    st.caption(
        f"Stored: the k best nodes in the order of {plain(evidence.ranking or 'a run')}, on "
        f"{plain(evidence.curve_prompts or evidence.prompts)}. CPR and CMD are areas of the left "
        "figure."
    )


def nodes(evidence: Evidence) -> None:
    """Minimality, node by node."""
    rises = sorted(evidence.minimality.items(), key=lambda item: item[1])
    one = DEFINITIONS["minimality"]
    with st.expander(f"{one.name}, all {len(rises)} nodes", icon=":material/table:"):
        st.caption(f"{one.sentence} Stored; {one.anchor}.")
        frame = pd.DataFrame(rises, columns=["node", "rise in the loss without it, nats"])
        st.dataframe(frame, hide_index=True)


def _running(job: Job) -> None:
    step = (
        job.progress
        if isinstance(job.progress, MeasuringProgress)
        else MeasuringProgress("Starting")
    )
    part = f"Part {step.part[0]} of {step.part[1]}. " if step.part[1] > 1 else ""
    of = f" of {step.of}" if step.of else ""
    count = f", {step.done}{of}" if step.done else ""
    with st.container(border=True):
        words, button = st.columns([0.78, 0.22], vertical_alignment="center")
        words.progress(
            min(1.0, step.done / step.of) if step.of else 0.0,
            text=plain(f"{part}{step.words}{count} · {time_in_words(job.seconds)} so far"),
        )
        button.button(
            "Stopping …" if job.stopping else "Cancel",
            key="stop evidence",
            icon=":material/stop_circle:",
            width="stretch",
            disabled=job.stopping,
            on_click=job.stop,
        )


def _ended(job: Job) -> None:
    if isinstance(job.error, Cancelled) or job.state == "stopped":
        st.info("Stopped. What was measured before is stored.", icon=":material/pause_circle:")
    elif job.error is not None:
        st.error(plain(str(job.error)), icon=":material/error:")
    else:
        return
    st.button("Dismiss", key="dismiss evidence", on_click=jobs().forget, args=(job.key,))
