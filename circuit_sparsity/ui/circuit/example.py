"""The live example around the graph: a prompt below it, its two answers above it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import streamlit as st
import torch
from jaxtyping import Float
from streamlit.delta_generator import DeltaGenerator
from torch import Tensor

from circuit_sparsity.core.names import Node
from circuit_sparsity.core.tokenizer import Tokenizer
from circuit_sparsity.experiment.experiment import Effect, Experiment
from circuit_sparsity.experiment.labels import read_labels
from circuit_sparsity.plots.colours import palette
from circuit_sparsity.plots.example import Answers, answers_html, prompt_html
from circuit_sparsity.plots.tokens import show_token
from circuit_sparsity.plots.words import signed
from circuit_sparsity.runtime.ablation import mean_fill
from circuit_sparsity.runtime.activations import node_activations
from circuit_sparsity.store import Store
from circuit_sparsity.tasks.task import TaskBatch
from circuit_sparsity.ui.circuit import fires
from circuit_sparsity.ui.shell import cached, prompts, state
from circuit_sparsity.ui.shell.address import bound
from circuit_sparsity.ui.shell.cached import LiveView
from circuit_sparsity.ui.shell.costs import costs_of_nodes, known_costs_of_nodes
from circuit_sparsity.ui.shell.messages import code
from circuit_sparsity.ui.shell.shared import shared

_CLASS, _PAIR = "example", "example_pair"  # keys of widgets and parameters of the address
_TEXT = "example_text"
_OWN = "my own"
_CLASSES = ("class 1", "class 2", _OWN)
_CAPTIONS = 10  # nodes that are captioned
_HELP = (
    "The prompt below the graph: one of the task's own, or a text of yours. The two prompts of a "
    "pair differ in what decides the answer, so class 1 and class 2 have different right answers."
)


@dataclass(frozen=True, eq=False)
class Example:
    """The prompt that is shown, as a row of an experiment's batch."""

    experiment: Experiment  # the page's, or one on the reader's own text
    row: int
    pair: int  # counted from 1
    key: tuple[int, ...] = ()  # the tokens of a text of the reader's own


def chosen(view: LiveView) -> Example:
    """What the fields say, or would say before they are drawn."""
    batch = view.experiment.batch
    which = st.session_state.get(_CLASS, st.query_params.get(_CLASS, _CLASSES[0]))
    if which == _OWN and (ids := _own_tokens(view)):
        return Example(_on_own(view, cached.identity(view), ids), 0, 1, ids)
    asked = st.session_state.get(_PAIR, st.query_params.get(_PAIR, "1"))
    pair = int(asked) if str(asked).isdecimal() and 1 <= int(asked) <= batch.n_pairs else 1
    return Example(view.experiment, pair - 1 + batch.n_pairs * (which == _CLASSES[1]), pair)


def fields(view: LiveView, below: DeltaGenerator) -> None:
    """Which prompt is the example; the address holds it. ``below`` has room for a text."""
    example, pairs = chosen(view), view.experiment.batch.n_pairs
    tokenizer = _tokenizer(view)
    which = st.selectbox(
        "Example",
        _CLASSES if tokenizer is not None else _CLASSES[:2],
        **bound(_CLASS, _CLASSES[0]),
        width=95,
        label_visibility="collapsed",
        help=_HELP,
    )
    if which == _OWN and tokenizer is not None:
        with below:
            prompts.field("Your example", _TEXT, _first_text(view, tokenizer))
        return
    if st.session_state.get(_PAIR, example.pair) != example.pair:
        st.session_state[_PAIR] = example.pair
    st.number_input(
        "Pair of the example",
        1,
        pairs,
        **bound(_PAIR, 1),
        width=95,
        label_visibility="collapsed",
        help=f"Which of the {pairs} pairs.",
    )


def _first_text(view: LiveView, tokenizer: Tokenizer) -> str:
    """What a text of the reader's own begins with: the first prompt."""
    batch = view.experiment.batch
    return tokenizer.decode(batch.tokens[0, : int(batch.last[0]) + 1].tolist())


def _own_tokens(view: LiveView) -> tuple[int, ...]:
    """The reader's text as tokens, its end where it is too long; empty without one."""
    tokenizer = _tokenizer(view)
    if tokenizer is None:
        return ()
    kept = st.session_state.get(_TEXT) or st.session_state.get(f"kept {_TEXT}")
    text = kept or st.query_params.get(_TEXT) or _first_text(view, tokenizer)
    return tuple(tokenizer.encode(text)[-view.config.block_size :])


@shared()
def _on_own(_view: LiveView, identity: int, ids: tuple[int, ...]) -> Experiment:
    """The circuit on one text, once with each of the task's two answers as the right one."""
    experiment = _view.experiment
    one, other = experiment.batch.right[:1], experiment.batch.wrong[:1]
    batch = TaskBatch(
        torch.tensor([ids, ids], device=one.device),
        torch.tensor([len(ids) - 1] * 2, device=one.device),
        torch.cat([one, other]),
        torch.cat([other, one]),
    )
    return replace(experiment, batch=batch, batch_name="a text of your own")


def answers(view: LiveView) -> None:
    """The two answers, and how likely the first is in model, circuit and changed circuit."""
    tokenizer = _tokenizer(view)
    if tokenizer is None:
        return
    example = chosen(view)
    experiment, row = example.experiment, example.row
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
    found = Answers(right, wrong, of_runs, is_right=not example.key)
    st.html(answers_html(found, palette(st.context.theme.type)))


def before_and_after(view: LiveView, effect: Effect) -> str | None:
    """How likely the example's answer is before and after: "`")` 98% → **57%**", as Markdown.

    ``effect`` is that of the page's recipe on the page's prompts. None where there is no tokenizer
    to spell the answer with.
    """
    tokenizer = _tokenizer(view)
    if tokenizer is None:
        return None
    example = chosen(view)
    if example.key:
        effect = example.experiment.apply(state.recipe())
    row = example.row
    answer = show_token(tokenizer.token_bytes(int(example.experiment.batch.right[row])))
    before, after = (float((-run.losses[row]).exp()) for run in (effect.before, effect.after))
    return f"{code(answer)} {before:.0%} → **{after:.0%}**"


def prompt(view: LiveView) -> None:
    """The example's tokens, in the colours of the activation of the node that is looked at."""
    tokenizer = _tokenizer(view)
    if tokenizer is None:
        return
    example = chosen(view)
    batch = example.experiment.batch
    ids = batch.tokens[example.row, : int(batch.last[example.row]) + 1].tolist()
    part, values, largest = state.selected(view), None, 1.0
    if isinstance(part, Node):
        rows = (example.pair - 1, example.pair - 1 + batch.n_pairs)
        both = [
            values[: int(batch.last[row]) + 1]
            for values, row in zip(_on_pair(view, example)[part], rows, strict=True)
        ]
        largest = max(float(values.abs().max()) for values in both)
        values = both[rows.index(example.row)].tolist()
    shown = [tokenizer.token_bytes(token) for token in ids]
    st.html(prompt_html(shown, values, largest, palette(st.context.theme.type)))


def _on_pair(view: LiveView, example: Example) -> Mapping[Node, Float[Tensor, "prompt pos"]]:
    """Activations in the circuit of every kept node on both prompts of the example's pair."""
    return _activations(example.experiment, cached.identity(view), example.pair, example.key)


@shared()
def _activations(
    _experiment: Experiment, identity: int, pair: int, key: tuple[int, ...]
) -> Mapping[Node, Float[Tensor, "prompt pos"]]:
    batch, fill = _experiment.batch, mean_fill(_experiment.alive, _experiment.means)
    rows = torch.tensor([pair - 1, pair - 1 + batch.n_pairs])
    tokens = batch.tokens[rows, : int(batch.last[rows].max()) + 1]
    return node_activations(_experiment.model, _experiment.circuit.node_list, tokens, fill)


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
    tokenizer = _tokenizer(_view)
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
