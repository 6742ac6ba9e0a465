"""Measuring nodes on held-out text as a job: asked for, watched, stopped, kept on disk."""

import threading
from pathlib import Path

import streamlit as st

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.core.names import Node
from circuit_sparsity.core.tokenizer import Tokenizer
from circuit_sparsity.experiment.experiment import Cancelled
from circuit_sparsity.nodes.heldout import LONGEST, WINDOWS, HeldOut, held_out_text, measure_on
from circuit_sparsity.store import Store
from circuit_sparsity.store.progress import time_in_words
from circuit_sparsity.ui.shell.cached import Scene
from circuit_sparsity.ui.shell.jobs import Job, Key, Report, jobs, watch
from circuit_sparsity.ui.shell.messages import plain
from circuit_sparsity.ui.shell.press import pressed

KIND = "held-out text"
_TOGETHER = 512  # nodes that are measured in one go


def offer(scene: Scene, node: Node, tokenizer: Tokenizer) -> None:
    """A button that measures; while it runs, how far it is and a way to stop it."""
    job = jobs().find(_key(scene, node))
    if job is not None and job.running:
        watch([job], _running)
        return
    if job is not None and job.error is not None:
        _ended_badly(job)
    nodes = _group(scene.circuit, node)
    length = min(scene.config.block_size, LONGEST)
    which = f"all {len(nodes)} nodes of the circuit" if len(nodes) > 1 else "this node"
    st.info(
        f"**Not measured yet.** Runs the whole model once over up to {WINDOWS * length:,} tokens "
        "that the starter's training left out: half from files of Python's standard library, half "
        f"generated programs, in this model's own tokens. It measures {which} and keeps the result "
        "on disk. Models that others trained saw other text, which is not public.",
        icon=":material/biotech:",
    )
    if pressed(
        "Measure on held-out text",
        "measure_held_out",
        type="primary",
        icon=":material/play_arrow:",
    ):
        _start(scene, node, tokenizer)
        st.rerun()


def _start(scene: Scene, node: Node, tokenizer: Tokenizer) -> Job:
    store, nodes, model = (
        Store.from_environment(),
        _group(scene.circuit, node),
        scene.experiment.model,
    )

    def work(report: Report, cancel: threading.Event) -> Path:
        def progress(done: int, of: int) -> None:
            report((done, of))

        progress(0, 0)
        text = held_out_text(model, tokenizer)
        found = measure_on(model, nodes, text, progress, cancel)
        return HeldOut(store, scene.choice.model).write(text, found)

    title = f"Measure {len(nodes)} nodes of {scene.circuit.title} on held-out text"
    return jobs().start(_key(scene, node), title, work, again=True)


def _key(scene: Scene, node: Node) -> Key:
    return KIND, Store.from_environment(), scene.choice.model, _group(scene.circuit, node)


def _group(circuit: Circuit, node: Node) -> tuple[Node, ...]:
    """The nodes that one pass over the text measures: a circuit's together, where they are few."""
    few = circuit.size <= _TOGETHER and circuit.keeps(node)
    return tuple(sorted(circuit.node_list)) if few else (node,)


def _running(job: Job) -> None:
    done, of = job.progress or (0, 0)
    bar, button = st.columns([0.72, 0.28], vertical_alignment="center")
    left = f" · {time_in_words(job.seconds / done * (of - done))} left" if done else ""
    words = f"{done} of {of} windows of text{left}" if of else "Making the text …"
    bar.progress(done / of if of else 0.0, text=words)
    button.button(
        "Stopping …" if job.stopping else "Cancel",
        key="stop_held_out",
        icon=":material/stop_circle:",
        width="stretch",
        disabled=job.stopping,
        on_click=job.stop,
    )


def _ended_badly(job: Job) -> None:
    if isinstance(job.error, Cancelled):
        st.info(f"{plain(str(job.error)).capitalize()}.", icon=":material/pause_circle:")
    else:
        st.error(plain(str(job.error)), icon=":material/error:")
