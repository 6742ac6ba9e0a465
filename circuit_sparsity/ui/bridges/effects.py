"""Every node of the circuit switched off in both models: does the dense one need it too?"""

import threading
from dataclasses import asdict

import pandas as pd
import streamlit as st

from circuit_sparsity.bridges.effects import Agreement, Effects, effects
from circuit_sparsity.bridges.pair import Pair
from circuit_sparsity.plots.bridges import effects_figure
from circuit_sparsity.plots.colours import palette
from circuit_sparsity.ui.bridges import save
from circuit_sparsity.ui.bridges.choice import carried_nodes
from circuit_sparsity.ui.shell import cached
from circuit_sparsity.ui.shell.cached import LiveView
from circuit_sparsity.ui.shell.fields import pressed
from circuit_sparsity.ui.shell.jobs import Job, Key, ReportProgress, jobs, watch
from circuit_sparsity.ui.shell.messages import plain

KIND = "bridge effects"
_HELP = (
    "Both models run whole. A node of the sparse model is held at its reference mean, the change "
    "is carried over the bridge, and the dense model answers. If the two work alike, what hurts "
    "one hurts the other."
)


def section(view: LiveView, pair: Pair) -> None:
    """The button, the job's progress, and the scatter when it is there."""
    st.markdown("##### Switch a node off in the sparse model: does the dense one fail?", help=_HELP)
    key = (KIND, pair.sparse_name, pair.dense_name, cached.identity(view))
    job = jobs().find(key)
    if job is not None and job.active:
        watch([job], _running)
        return
    n = len(carried_nodes(view, pair))
    if (job is None or job.state != "done") and pressed(
        f"Switch off each of {n} nodes",
        "bridge_effects",
        icon=":material/scatter_plot:",
        type="primary",
        meaning=f"On the {len(view.experiment.batch)} test prompts; both models run once per node.",
    ):
        _start(view, pair, key)
        st.rerun()
    if job is not None and job.state == "failed":
        st.error(plain(str(job.error)), icon=":material/error:")
    if job is not None and job.state == "done":
        _show(job.result(), pair, view)


def _start(view: LiveView, pair: Pair, key: Key) -> Job:
    experiment = view.experiment

    def work(report: ReportProgress, cancel: threading.Event) -> Effects:
        def went_on(done: int, of: int) -> None:
            report((done, of))

        return effects(
            pair,
            experiment.batch,
            experiment.circuit.node_list,
            experiment.means,
            went_on,
            cancel,
        )

    return jobs().start(key, f"Effects of {experiment.circuit.title} over a bridge", work)


def _running(job: Job) -> None:
    done, of = job.progress or (0, 1)
    st.progress(done / of, f"{done} of {of} nodes" if job.progress else "Running both models")
    st.button("Cancel", key="cancel bridge effects", on_click=job.stop, icon=":material/close:")


def _show(found: Effects, pair: Pair, view: LiveView) -> None:
    st.markdown(_sentence(found))
    st.plotly_chart(
        effects_figure(found, palette(st.context.theme.type)),
        key="bridge_scatter",
        config={"displaylogo": False},
    )
    st.caption(
        f"Rise in the mean task loss on {len(view.experiment.batch)} test prompts when one node is "
        f"held at its mean, {len(found.nodes)} nodes; the dotted line is where both are equal. "
        f"{len(found.left_out)} nodes after the last bridge or on position channels are left out."
    )
    rows = [
        {
            "node": str(one.node),
            "sparse, nats": one.sparse,
            "dense, nats": one.dense,
            "dense over a shuffled bridge, nats": one.shuffled,
        }
        for one in found.nodes
    ]
    with st.expander("As numbers", icon=":material/table:"):
        st.dataframe(pd.DataFrame(rows), width="stretch", hide_index=True)
    measured = {
        "bridge": asdict(found.bridge),
        "shuffled": asdict(found.shuffled),
        "nodes": [asdict(one) | {"node": str(one.node)} for one in found.nodes],
    }
    save.as_json("bridge_effects", pair, view, measured)


def _sentence(found: Effects) -> str:
    one, other = found.bridge, found.shuffled
    return (
        f"**{_verdict(one)}** Rank correlation of the two effects {_numbers(one)}; over a bridge "
        f"with shuffled channels {_numbers(other)}. Of the {one.of} nodes that matter most in each "
        f"model, {one.top} are the same (shuffled: {other.top})."
    )


def _verdict(one: Agreement) -> str:
    if one.low > 0.5:
        return "The dense model needs what the sparse one needs."
    if one.low > 0:
        return "The dense model partly needs what the sparse one needs."
    return "No agreement is shown: the interval includes zero."


def _numbers(one: Agreement) -> str:
    return f"{one.correlation:.2f} (95% bootstrap interval {one.low:.2f} to {one.high:.2f})"
