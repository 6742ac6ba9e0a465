"""A node's activations, live: on the task's pairs, on the reader's text, on held-out text."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st
import torch

from circuit_sparsity.core.hooks import no_hook
from circuit_sparsity.core.names import Node
from circuit_sparsity.core.tokenizer import Tokenizer
from circuit_sparsity.nodes.firing import Firing
from circuit_sparsity.nodes.heldout import HeldOut
from circuit_sparsity.plots.colours import palette
from circuit_sparsity.plots.weights import counts_figure, zeros_in_words
from circuit_sparsity.plots.words import signed
from circuit_sparsity.release import Doc
from circuit_sparsity.runtime.ablation import mean_fill
from circuit_sparsity.runtime.activations import node_activations
from circuit_sparsity.store import Store
from circuit_sparsity.ui.node import heldout as node_heldout
from circuit_sparsity.ui.node import tokens
from circuit_sparsity.ui.node.tokens import Strip
from circuit_sparsity.ui.shell import cached, prompts
from circuit_sparsity.ui.shell.cached import Scene
from circuit_sparsity.ui.shell.choices import among, pair_field

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


def section(scene: Scene, node: Node, tokenizer: Tokenizer) -> None:
    """Strips on one scale, then a histogram over the same text."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        source = source_field((PAIRS, OWN, HELD_OUT))
        run = _run_field(scene, node) if source == PAIRS else MODEL
        pairs = scene.experiment.batch.n_pairs
        pair = pair_field(pairs, PAIR) if source == PAIRS else None
    if source == HELD_OUT:
        seen = _on_held_out(scene, node, tokenizer)
    elif pair is not None:
        seen = _on_pair(scene, node, run, pair)
    else:
        seen = _on_own(scene, node, tokenizer)
    if seen is not None:
        tokens.draw(seen.strips, tokenizer, seen.largest)
        _histogram(seen.firing, seen.said)
        tokens.numbers(seen.strips, tokenizer)


@dataclass(frozen=True, eq=False)
class _Seen:
    """What is drawn of a node on some text."""

    strips: list[Strip]
    firing: Firing  # on all of it
    said: str  # what it is
    largest: float = 0.0  # the strips' scale goes at least so far


def source_field(options: Sequence[str]) -> str:
    """Which text; the address holds it."""
    return among("On which text", options, _SOURCE)


def own_tokens(scene: Scene, tokenizer: Tokenizer) -> list[int] | None:
    """The reader's text, the same that the page of prompts has; None where there is nothing."""
    text = prompts.text_field(scene.experiment, tokenizer)
    context = scene.experiment.model.config.block_size
    ids = prompts.fitting(tokenizer.encode(text), context, tokenizer)
    return None if ids is None else list(ids)


def pair_tokens(scene: Scene, pair: int) -> tuple[list[int], list[int]]:
    """The two prompts of a pair, counted from 1."""
    batch = scene.experiment.batch
    rows = (pair - 1, pair - 1 + batch.n_pairs)
    one, two = (batch.tokens[row, : int(batch.last[row]) + 1].tolist() for row in rows)
    return one, two


def held_out(model: str, node: Node) -> tuple[Firing, str] | None:
    """The node on held-out text and that text in words, where it was measured."""
    return HeldOut(Store.from_environment(), model).read(node)


def on_prompts(scene: Scene, node: Node, run: str) -> Firing:
    """The node on all of the task's prompts, run now. Kept once run."""
    return _on_prompts(scene, cached.identity(scene), node, run)


@st.cache_resource(max_entries=128, show_spinner="Running the prompts …")
def _on_prompts(_scene: Scene, identity: int, node: Node, run: str) -> Firing:
    it = _scene.experiment
    hook = mean_fill(it.alive, it.means) if run == CIRCUIT else no_hook
    found = node_activations(it.model, [node], it.batch.tokens, hook)[node]
    real = torch.arange(found.shape[1]) <= it.batch.last[:, None]
    return Firing(it.batch.tokens, found.float(), real)


def _runs(scene: Scene, node: Node) -> tuple[str, ...]:
    return (MODEL, CIRCUIT) if scene.circuit.keeps(node) else (MODEL,)


def _run_field(scene: Scene, node: Node) -> str:
    return among("Activations in", _runs(scene, node), _RUN)


def _on_pair(scene: Scene, node: Node, run: str, pair: int) -> _Seen:
    one, two = pair_tokens(scene, pair)
    firing, pairs = on_prompts(scene, node, run), scene.experiment.batch.n_pairs
    rows = (pair - 1, pair - 1 + pairs)
    values = [
        firing.activations[row, : len(ids)].tolist()
        for row, ids in zip(rows, (one, two), strict=True)
    ]
    st.caption(_at_the_end(scene, firing), help=_CLASSES_HELP)
    strips = [
        Strip(f"Class 1, live, {run.lower()}", one, values[0], len(one) - 1),
        Strip(f"Class 2, live, {run.lower()}", two, values[1], len(two) - 1),
    ]
    strips += tokens.difference(strips, "Difference, class 1 − class 2")
    every = [on_prompts(scene, node, run).values for run in _runs(scene, node)]
    largest = max(float(values.abs().max()) for values in every)
    return _Seen(strips, firing, f"all {len(firing.tokens)} prompts, {run.lower()}", largest)


def _on_own(scene: Scene, node: Node, tokenizer: Tokenizer) -> _Seen | None:
    ids = own_tokens(scene, tokenizer)
    if ids is None:
        return None
    strips = tokens.live(scene.experiment, ids, node)
    firing = Firing(torch.tensor([ids]), torch.tensor([strips[0].activations]))
    return _Seen(strips, firing, "the text above, whole model")


def _on_held_out(scene: Scene, node: Node, tokenizer: Tokenizer) -> _Seen | None:
    found = held_out(scene.choice.model, node)
    if found is None:
        node_heldout.offer(scene, node, tokenizer)
        return None
    firing, text = found
    return _Seen(_ranked(firing, text), firing, f"{text}, whole model")


def _at_the_end(scene: Scene, firing: Firing) -> str:
    """The two classes' means at the last token, where the answer is read."""
    last, pairs = scene.experiment.batch.last, scene.experiment.batch.n_pairs
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
    found = ends[tokens.rank_field(list(ends), _QUANTILE, _RANK_HELP)]
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
    st.markdown("##### How often it is how strong")
    st.caption(f"On {on}: {zeros_in_words(counts)}.")
    if counts.counts:
        st.plotly_chart(
            counts_figure(counts, palette(st.context.theme.type)),
            key="node_counts",
            config={"displaylogo": False, "displayModeBar": False},
            alt=f"Histogram of the node's activations on {on}",
        )
