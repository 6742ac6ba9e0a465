"""The live example around the graph: a prompt below it, its two answers above it."""

from collections.abc import Mapping
from dataclasses import dataclass

import streamlit as st
import torch
from jaxtyping import Float
from torch import Tensor

from circuit_sparsity.core.names import Node
from circuit_sparsity.experiment.experiment import Outcome
from circuit_sparsity.experiment.labels import read_labels
from circuit_sparsity.plots.colours import palette
from circuit_sparsity.plots.example import Answers, answers_html, prompt_html
from circuit_sparsity.plots.tokens import show_token
from circuit_sparsity.plots.words import signed
from circuit_sparsity.runtime.ablation import mean_fill
from circuit_sparsity.runtime.activations import node_activations
from circuit_sparsity.store import Store
from circuit_sparsity.ui.circuit import fires
from circuit_sparsity.ui.shell import cached, state
from circuit_sparsity.ui.shell.address import bound
from circuit_sparsity.ui.shell.cached import LiveView
from circuit_sparsity.ui.shell.costs import costs_of_nodes, known_costs_of_nodes
from circuit_sparsity.ui.shell.messages import code
from circuit_sparsity.ui.shell.shared import shared

_CLASS, _PAIR = "example", "example_pair"  # keys of widgets and parameters of the address
_CLASSES = ("class 1", "class 2")
_CAPTIONS = 10  # nodes that are captioned
_HELP = (
    "The prompt below the graph: one of the task's own. The two prompts of a pair differ in what "
    "decides the answer, so class 1 and class 2 have different right answers."
)


@dataclass(frozen=True)
class Example:
    """A prompt of the circuit's batch: its row, and its pair counted from 1."""

    row: int
    pair: int


def chosen(view: LiveView) -> Example:
    """What the fields say, or would say before they are drawn."""
    batch = view.experiment.batch
    which = st.session_state.get(_CLASS, st.query_params.get(_CLASS, _CLASSES[0]))
    asked = st.session_state.get(_PAIR, st.query_params.get(_PAIR, "1"))
    pair = int(asked) if str(asked).isdecimal() and 1 <= int(asked) <= batch.n_pairs else 1
    return Example(pair - 1 + batch.n_pairs * (which == _CLASSES[1]), pair)


def fields(view: LiveView) -> None:
    """Which prompt is the example; the address holds it."""
    example, pairs = chosen(view), view.experiment.batch.n_pairs
    if st.session_state.get(_PAIR, example.pair) != example.pair:
        st.session_state[_PAIR] = example.pair
    st.selectbox(
        "Example",
        _CLASSES,
        **bound(_CLASS, _CLASSES[0]),
        width=95,
        label_visibility="collapsed",
        help=_HELP,
    )
    st.number_input(
        "Pair of the example",
        1,
        pairs,
        **bound(_PAIR, 1),
        width=95,
        label_visibility="collapsed",
        help=f"Which of the {pairs} pairs.",
    )


def answers(view: LiveView) -> None:
    """The two answers, and how likely the right one is in model, circuit and ablated circuit."""
    tokenizer = _tokenizer(view)
    if tokenizer is None:
        return
    experiment, row = view.experiment, chosen(view).row
    runs = {"model": experiment.of_model, "circuit": experiment.of_circuit}
    recipe = state.recipe()
    if len(recipe):
        runs["changed circuit"] = experiment.apply(recipe).after
    right, wrong = (
        show_token(tokenizer.token_bytes(int(answers[row])))
        for answers in (experiment.batch.right, experiment.batch.wrong)
    )
    # The loss of a prompt is the cross-entropy over its two answers.
    of_runs = {name: float((-run.losses[row]).exp()) for name, run in runs.items()}
    st.html(answers_html(Answers(right, wrong, of_runs), palette(st.context.theme.type)))


def before_and_after(view: LiveView, before: Outcome, after: Outcome) -> str | None:
    """How likely the example's right answer is in two runs, as Markdown: "`")` 98% → 57%".

    None where there is no tokenizer to spell the answer with.
    """
    tokenizer = _tokenizer(view)
    if tokenizer is None:
        return None
    row = chosen(view).row
    right = show_token(tokenizer.token_bytes(int(view.experiment.batch.right[row])))
    one, other = (float((-run.losses[row]).exp()) for run in (before, after))
    return f"{code(right)} {one:.0%} → **{other:.0%}**"


def prompt(view: LiveView) -> None:
    """The example's tokens, in the colours of the activation of the node that is looked at."""
    tokenizer = _tokenizer(view)
    if tokenizer is None:
        return
    batch, example = view.experiment.batch, chosen(view)
    ids = batch.tokens[example.row, : int(batch.last[example.row]) + 1].tolist()
    part, values, largest = state.selected(view), None, 1.0
    if isinstance(part, Node):
        rows = (example.pair - 1, example.pair - 1 + batch.n_pairs)
        both = [
            values[: int(batch.last[row]) + 1]
            for values, row in zip(on_pair(view, example.pair)[part], rows, strict=True)
        ]
        largest = max(float(values.abs().max()) for values in both)
        values = both[rows.index(example.row)].tolist()
    shown = [tokenizer.token_bytes(token) for token in ids]
    st.html(prompt_html(shown, values, largest, palette(st.context.theme.type)))


def on_pair(view: LiveView, pair: int) -> Mapping[Node, Float[Tensor, "prompt pos"]]:
    """Activations in the circuit of every kept node on both prompts of a pair, from 1."""
    return _on_pair(view, cached.identity(view), pair)


@shared()
def _on_pair(
    _view: LiveView, identity: int, pair: int
) -> Mapping[Node, Float[Tensor, "prompt pos"]]:
    experiment = _view.experiment
    batch, fill = experiment.batch, mean_fill(experiment.alive, experiment.means)
    rows = torch.tensor([pair - 1, pair - 1 + batch.n_pairs])
    tokens = batch.tokens[rows, : int(batch.last[rows].max()) + 1]
    return node_activations(experiment.model, experiment.circuit.node_list, tokens, fill)


def captions(view: LiveView) -> Mapping[Node, str]:
    """Words for the nodes that cost most: the reader's own, else the token that each tells."""
    known = known_costs_of_nodes(view, state.fill())
    if known is None or not view.circuit.size:
        return {}
    try:
        labels = read_labels(Store.from_environment(), view.circuit).texts
    except (ValueError, OSError):  # the node's page says what is wrong with their file
        labels = {}
    found = dict(_telling_tokens(view, cached.identity(view), state.fill(), known.prompts))
    for node in list(found):
        if node in labels:
            found[node] = labels[node]
    return {node: words for node, words in found.items() if words}


@st.cache_resource(max_entries=32, show_spinner=False)
def _telling_tokens(_view: LiveView, identity: int, fill: str, prompts: int) -> Mapping[Node, str]:
    """The costliest nodes, the first one first, each with a token and its mean activation there.

    It is the token whose mean stands out most from the node's own: by how far, times the root of
    how often it occurs, so that a rare token does not win by chance.
    """
    experiment, tokenizer = _view.experiment, _tokenizer(_view)
    rises = costs_of_nodes(_view, state.fill()).rises
    nodes = sorted(_view.circuit.node_list, key=lambda node: -rises[node])[:_CAPTIONS]
    if tokenizer is None:
        return dict.fromkeys(nodes, "")
    found = fires.activity(_view)
    words = {}
    for node in nodes:
        firing = found[node]
        tokens = firing.by_token()
        if tokens:
            mean = firing.mean
            best = max(tokens, key=lambda one: abs(one.mean - mean) * one.count**0.5)
            token = show_token(tokenizer.token_bytes(best.token))
            words[node] = f"{token} {signed(best.mean, 1)}"
    return words


def _tokenizer(view: LiveView):
    if Store.from_environment().path_of_tokenizer(view.choice.model) is None:
        return None
    return cached.tokenizer(view.choice.model)
