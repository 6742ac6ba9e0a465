"""A node's activations, live: on the task's pairs, on the reader's text, on held-out text."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st
import torch

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.core.hooks import no_hook
from circuit_sparsity.core.names import Node
from circuit_sparsity.core.tokenizer import Tokenizer
from circuit_sparsity.experiment.experiment import Cancelled
from circuit_sparsity.nodes.firing import Firing
from circuit_sparsity.nodes.heldout import LONGEST, WINDOWS, HeldOut, held_out_text, measure_on
from circuit_sparsity.plots.colours import palette
from circuit_sparsity.plots.weights import counts_figure, zeros_in_words
from circuit_sparsity.plots.words import signed
from circuit_sparsity.release import Doc
from circuit_sparsity.runtime.ablation import mean_fill
from circuit_sparsity.runtime.activations import node_activations
from circuit_sparsity.store import Store
from circuit_sparsity.store.progress import time_in_words
from circuit_sparsity.ui.shell import cached, prompts, strips
from circuit_sparsity.ui.shell.cached import LiveView
from circuit_sparsity.ui.shell.fields import among, pair_field, pressed
from circuit_sparsity.ui.shell.jobs import Job, Key, ReportProgress, jobs, watch
from circuit_sparsity.ui.shell.messages import plain
from circuit_sparsity.ui.shell.shared import shared
from circuit_sparsity.ui.shell.strips import Strip

PAIRS, OWN, HELD_OUT = "Task's pairs", "Your text", "Held-out text"
MODEL, CIRCUIT = "Whole model", "Circuit alone"
PAIR = "pair"  # keys of widgets and parameters of the address
_SOURCE, _RUN, _QUANTILE = "on", "run", "quantile"
_CONTEXT = 24  # tokens shown on each side of one that is ranked
_CLASSES_HELP = (
    "The task's prompts come in pairs that differ in what decides the answer: class 1 and class 2. "
    "The difference is class 1 minus class 2, position by position; where they differ in length, "
    "along their common beginning and end."
)
_RANK_HELP = (
    "Every token of the text is ranked by the node's activation. At 0.1%, the highest are those "
    "with a thousandth of all tokens above them; at 50% they are ordinary."
)


def section(view: LiveView, node: Node, tokenizer: Tokenizer) -> None:
    """Strips on one scale, then a histogram over the same text."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        source = source_field((PAIRS, OWN, HELD_OUT))
        run = _run_field(view, node) if source == PAIRS else MODEL
        pairs = view.experiment.batch.n_pairs
        pair = pair_field(pairs, PAIR) if source == PAIRS else None
    if source == HELD_OUT:
        seen = _on_held_out(view, node, tokenizer)
    elif pair is not None:
        seen = _on_pair(view, node, run, pair)
    else:
        seen = _on_own(view, node, tokenizer)
    if seen is not None:
        strips.draw(seen.strips, tokenizer, seen.largest)
        _histogram(seen.firing, seen.said)
        strips.numbers(seen.strips, tokenizer)


@dataclass(frozen=True, eq=False)
class _Seen:
    """What is drawn of a node on some text."""

    strips: list[Strip]
    firing: Firing  # on all of it
    said: str  # what it is
    largest: float = 0.0  # the strips' scale goes at least so far


def source_field(options: Sequence[str]) -> str:
    """Which text; the address holds it."""
    return among("Text to read", options, _SOURCE)


def own_tokens(view: LiveView, tokenizer: Tokenizer) -> list[int] | None:
    """The reader's text, the same that the page of prompts has; None where there is nothing."""
    text = prompts.text_field(view.experiment, tokenizer)
    context = view.experiment.model.config.block_size
    ids = prompts.fitting(tokenizer.encode(text), context, tokenizer)
    return None if ids is None else list(ids)


def pair_tokens(view: LiveView, pair: int) -> tuple[list[int], list[int]]:
    """The two prompts of a pair, counted from 1."""
    batch = view.experiment.batch
    rows = (pair - 1, pair - 1 + batch.n_pairs)
    one, two = (batch.tokens[row, : int(batch.last[row]) + 1].tolist() for row in rows)
    return one, two


def held_out(model: str, node: Node) -> tuple[Firing, str] | None:
    """The node on held-out text and that text in words, where it was measured."""
    return HeldOut(Store.from_environment(), model).read(node)


def on_prompts(view: LiveView, node: Node, run: str) -> Firing:
    """The node on all of the task's prompts, run now. Kept once run."""
    return _on_prompts(view, cached.identity(view), node, run)


@shared("Running the prompts …")
def _on_prompts(_view: LiveView, identity: int, node: Node, run: str) -> Firing:
    experiment = _view.experiment
    hook = mean_fill(experiment.alive, experiment.means) if run == CIRCUIT else no_hook
    found = node_activations(experiment.model, [node], experiment.batch.tokens, hook)[node]
    real = torch.arange(found.shape[1]) <= experiment.batch.last[:, None]
    return Firing(experiment.batch.tokens, found.float(), real)


def _runs(view: LiveView, node: Node) -> tuple[str, ...]:
    return (MODEL, CIRCUIT) if view.circuit.keeps(node) else (MODEL,)


def _run_field(view: LiveView, node: Node) -> str:
    return among("Activations in", _runs(view, node), _RUN)


def _on_pair(view: LiveView, node: Node, run: str, pair: int) -> _Seen:
    one, two = pair_tokens(view, pair)
    firing, pairs = on_prompts(view, node, run), view.experiment.batch.n_pairs
    rows = (pair - 1, pair - 1 + pairs)
    values = [
        firing.activations[row, : len(ids)].tolist()
        for row, ids in zip(rows, (one, two), strict=True)
    ]
    st.caption(_at_the_end(view, firing), help=_CLASSES_HELP)
    both = [
        Strip(f"Class 1, live, {run.lower()}", one, values[0], len(one) - 1),
        Strip(f"Class 2, live, {run.lower()}", two, values[1], len(two) - 1),
    ]
    both += strips.difference(both, "Difference, class 1 − class 2")
    every = [on_prompts(view, node, run).values for run in _runs(view, node)]
    largest = max(float(values.abs().max()) for values in every)
    return _Seen(both, firing, f"all {len(firing.tokens)} prompts, {run.lower()}", largest)


def _on_own(view: LiveView, node: Node, tokenizer: Tokenizer) -> _Seen | None:
    ids = own_tokens(view, tokenizer)
    if ids is None:
        return None
    found = strips.live(view.experiment, ids, node)
    firing = Firing(torch.tensor([ids]), torch.tensor([found[0].activations]))
    return _Seen(found, firing, "the text above, whole model")


def _on_held_out(view: LiveView, node: Node, tokenizer: Tokenizer) -> _Seen | None:
    found = held_out(view.choice.model, node)
    if found is None:
        _offer_measuring(view, node, tokenizer)
        return None
    firing, text = found
    return _Seen(_ranked(firing, text), firing, f"{text}, whole model")


def _at_the_end(view: LiveView, firing: Firing) -> str:
    """The two classes' means at the last token, where the answer is read."""
    last, pairs = view.experiment.batch.last, view.experiment.batch.n_pairs
    ends = firing.activations[torch.arange(len(last)), last]
    one, two = float(ends[:pairs].mean()), float(ends[pairs:].mean())
    return (
        f"At the last token, where the answer is read, mean over {pairs} prompts a class, live: "
        f"class 1 {signed(one)}, class 2 {signed(two)}, difference {signed(one - two)}."
    )


def _ranked(firing: Firing, text: str) -> list[Strip]:
    """The texts around the tokens at a quantile that the reader picks."""
    st.caption(f"Live once, then kept: whole model on {text}.")
    ends = firing.extremes()
    found = ends[strips.rank_field(list(ends), _QUANTILE, _RANK_HELP)]
    sides = (("Highest", found.top), ("Lowest", found.bottom))
    return [_excerpt(f"{side} {i}", doc) for side, docs in sides for i, doc in enumerate(docs, 1)]


def _excerpt(title: str, doc: Doc) -> Strip:
    first = max(0, doc.position - _CONTEXT)
    part = slice(first, doc.position + _CONTEXT + 1)
    ids, values = doc.tokens[part].tolist(), doc.activations[part].tolist()
    at = doc.position - first
    title = f"{title}, {signed(values[at])} on the framed token, live, whole model"
    return Strip(title, ids, values, at)


def _histogram(firing: Firing, on: str) -> None:
    counts = firing.counts
    st.markdown("##### Distribution of its activation")
    st.caption(f"On {on}: {zeros_in_words(counts)}.")
    if counts.counts:
        st.plotly_chart(
            counts_figure(counts, palette(st.context.theme.type)),
            key="node_counts",
            config={"displaylogo": False, "displayModeBar": False},
            alt=f"Histogram of the node's activations on {on}",
        )


KIND = "held-out text"
_TOGETHER = 512  # nodes that are measured in one go


def _offer_measuring(view: LiveView, node: Node, tokenizer: Tokenizer) -> None:
    """A button that measures; while it runs, how far it is and a way to stop it."""
    job = jobs().find(_measuring_key(view, node))
    if job is not None and job.active:
        watch([job], _running)
        return
    if job is not None and job.error is not None:
        _ended_badly(job)
    nodes = _group(view.circuit, node)
    length = min(view.config.block_size, LONGEST)
    which = f"all {len(nodes)} nodes of the circuit" if len(nodes) > 1 else "this node"
    st.info(
        f"**Not measured yet.** Runs the whole model once over up to {WINDOWS * length:,} tokens "
        "that the starter's training left out: half from files of Python's standard library, half "
        f"generated programs, in this model's own tokens. It measures {which} and keeps the result "
        "on disk. Models trained by others saw different text, which is not public.",
        icon=":material/biotech:",
    )
    if pressed(
        "Measure on held-out text",
        "measure_held_out",
        type="primary",
        icon=":material/play_arrow:",
    ):
        _start_measuring(view, node, tokenizer)
        st.rerun()


def _start_measuring(view: LiveView, node: Node, tokenizer: Tokenizer) -> Job:
    store, nodes, model = (
        Store.from_environment(),
        _group(view.circuit, node),
        view.experiment.model,
    )

    def work(report: ReportProgress, cancel: threading.Event) -> Path:
        def progress(done: int, of: int) -> None:
            report((done, of))

        progress(0, 0)
        text = held_out_text(model, tokenizer)
        found = measure_on(model, nodes, text, progress, cancel)
        return HeldOut(store, view.choice.model).write(text, found)

    title = f"Measure {len(nodes)} nodes of {view.circuit.title} on held-out text"
    return jobs().start(_measuring_key(view, node), title, work, again=True)


def _measuring_key(view: LiveView, node: Node) -> Key:
    return KIND, Store.from_environment(), view.choice.model, _group(view.circuit, node)


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
