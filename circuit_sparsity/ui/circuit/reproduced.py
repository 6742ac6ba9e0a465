"""The badge of a circuit: what its file stores, computed here again, and how far the two part."""

import threading

import pandas as pd
import streamlit as st

from circuit_sparsity.experiment.experiment import Cancelled
from circuit_sparsity.experiment.reproduction import (
    LOSS_TOLERANCE,
    Differences,
    Reproduction,
    reproduce,
    stores_numbers,
)
from circuit_sparsity.store import Store
from circuit_sparsity.store.progress import time_in_words
from circuit_sparsity.ui.shell import cached, fetching
from circuit_sparsity.ui.shell.cached import LiveView
from circuit_sparsity.ui.shell.fields import pressed
from circuit_sparsity.ui.shell.jobs import Job, ReportProgress, jobs, watch
from circuit_sparsity.ui.shell.messages import plain

KIND = "reproduce"
_WHAT = (
    "Runs again what whoever made the file ran: the loss of model and circuit, the loss without "
    "each "
    "node and each block, and the activation of every kept node on every stored prompt, in model "
    "and circuit. The results are compared with the numbers in the file."
)
_TABLE_HELP = {
    "largest difference": "The largest |stored − live| among them.",
    "of values up to": "The largest magnitude among the stored ones, to judge the difference by.",
    "too far apart": "How many differ by more than rounding explains: losses by more than "
    f"{LOSS_TOLERANCE:.0e} nats, activations by more than half a step of float16, in which they "
    "are stored.",
    "near-ties, left out": "Values at the edge of an activation top-k, where the next channel "
    "misses it by less than one part in 100,000: rounding decides whether "
    "they are kept.",
}
_NAMES = {
    "model": "loss of the model",
    "circuit": "loss of the circuit",
    "nodes": "losses without one node",
    "blocks": "losses without one block",
}


def badge(view: LiveView) -> None:
    """A button that computes the stored numbers again; its progress; what came out."""
    if not stores_numbers(cached.file_of(view.choice)):
        st.caption("No losses are stored in this circuit's file: there are none to compute again.")
        return
    job = jobs().find(_key(view))
    with st.container(border=True):
        words, button = st.columns([0.72, 0.28], vertical_alignment="center")
        words.markdown("**Are the stored numbers right?** Compute them again here.", help=_WHAT)
        with button:
            if pressed(
                "Reproduce again" if job is not None and not job.active else "Reproduce",
                "reproduce",
                icon=":material/verified:",
                width="stretch",
                disabled=job is not None and job.active,
            ):
                _start(view)
                st.rerun()
        if job is not None:
            watch([job] if job.active else [], _running)
            if not job.active:
                _ended(job, view)


def cannot(model: str) -> None:
    """What computing the stored numbers again lacks here."""
    missing = fetching.missing_to_run(Store.from_environment(), model)
    if missing:
        st.caption(
            "The stored numbers cannot be computed again here: "
            f"{', '.join(f'`{name}`' for name in missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing. The button above, the library or "
            f"`python -m circuit_sparsity fetch {model}` gets what the container has."
        )


def _key(view: LiveView) -> tuple[object, ...]:
    return KIND, view.choice, cached.identity(view)


def _start(view: LiveView) -> Job:
    def work(report: ReportProgress, cancel: threading.Event) -> Reproduction:
        def progress(done: int, of: int) -> None:
            report((done, of))

        return reproduce(cached.file_of(view.choice), view.experiment, progress, cancel)

    return jobs().start(_key(view), f"Reproduce {view.circuit.title}", work, again=True)


def _running(job: Job) -> None:
    done, of = job.progress or (0, 1)
    bar, button = st.columns([0.72, 0.28], vertical_alignment="center")
    left = job.seconds / done * (of - done) if done else None
    words = f" · {time_in_words(left)} left" if left is not None and done > 3 else ""
    bar.progress(done / of, text=f"{done} of {of} runs{words}")
    button.button(
        "Stopping …" if job.stopping else "Cancel",
        key="stop reproducing",
        icon=":material/stop_circle:",
        width="stretch",
        disabled=job.stopping,
        on_click=job.stop,
    )


def _ended(job: Job, view: LiveView) -> None:
    if isinstance(job.error, Cancelled):
        st.info(f"{plain(str(job.error)).capitalize()}.", icon=":material/pause_circle:")
    elif job.error is not None:
        st.error(plain(str(job.error)), icon=":material/error:")
    else:
        result = job.result()
        said = f"{in_words(result)} Live, in {time_in_words(job.seconds)}."
        if result.agrees:
            st.success(said, icon=":material/verified:")
        else:
            st.error(said, icon=":material/report:")
        with st.expander("What was compared", icon=":material/table:"):
            _table(result)


def in_words(result: Reproduction) -> str:
    """The outcome as a sentence or two."""
    losses, found = result.losses.values(), result.activations.values()
    far = sum(d.beyond for d in (*losses, *found))
    n_losses, n_values = sum(d.count for d in losses), sum(d.count for d in found)
    worst, widest = max(d.largest for d in losses), max(found, key=lambda d: d.largest)
    head = (
        f"**Reproduced.** All {n_losses:,} stored losses (model, circuit, without each of "
        f"{result.losses['nodes'].count:,} nodes and {result.losses['blocks'].count} blocks)"
        if result.agrees
        else f"**Not reproduced: {far:,} of {n_losses + n_values:,} stored numbers differ by "
        f"more than rounding explains.** The {n_losses:,} stored losses"
    )
    ties = sum(d.near_ties for d in found)
    excepted = f"; {ties} near-tie{'s' * (ties != 1)} of the top-k excepted" if ties else ""
    return (
        f"{head} agree to within {worst:.1e} nats per sequence on {result.prompts} prompts; "
        f"{n_values:,} activations to within {widest.largest:.1e} of values up to "
        f"{max(d.scale for d in found):.3g}, stored as float16{excepted}."
    )


def _table(result: Reproduction) -> None:
    rows = [(f"{_NAMES[name]}, nats", d) for name, d in result.losses.items()]
    rows += [(f"activations in the {name}", d) for name, d in result.activations.items()]
    st.dataframe(
        pd.DataFrame([{"stored numbers": name, **_row(d)} for name, d in rows]),
        hide_index=True,
        column_config={
            name: st.column_config.Column(help=meaning) for name, meaning in _TABLE_HELP.items()
        },
    )


def _row(d: Differences) -> dict[str, object]:
    return {
        "how many": d.count,
        "largest difference": f"{d.largest:.1e}",
        "where": d.at,
        "of values up to": f"{d.scale:.4g}",
        "too far apart": d.beyond,
        "near-ties, left out": d.near_ties,
    }
