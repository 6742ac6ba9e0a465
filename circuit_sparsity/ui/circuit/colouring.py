"""What the colours of the graph's nodes say: a cost, an activation, a difference of two."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import streamlit as st
import torch
from jaxtyping import Float
from streamlit.delta_generator import DeltaGenerator
from torch import Tensor

from circuit_sparsity.core.hooks import no_hook
from circuit_sparsity.core.names import Node
from circuit_sparsity.plots.activations import scale_legend
from circuit_sparsity.plots.coloured_graph import Shading, cost, shaded_figure
from circuit_sparsity.plots.colours import palette
from circuit_sparsity.plots.graph import Figure
from circuit_sparsity.plots.tokens import show_token
from circuit_sparsity.runtime.ablation import mean_fill
from circuit_sparsity.runtime.activations import node_activations
from circuit_sparsity.store import Store
from circuit_sparsity.ui.circuit import example, graph, paths
from circuit_sparsity.ui.circuit.graph import (
    block_field,
    controls,
    notes,
    weight_field,
)
from circuit_sparsity.ui.shell import cached, prompts, state
from circuit_sparsity.ui.shell.address import bound, write
from circuit_sparsity.ui.shell.cached import CircuitView, LiveView
from circuit_sparsity.ui.shell.costs import Costs, known_costs_of_nodes
from circuit_sparsity.ui.shell.messages import plain
from circuit_sparsity.ui.shell.shared import shared

BY = "colour"  # keys of widgets and parameters of the address
_PAIR, _BEFORE, _TOKEN = "colour_pair", "colour_before", "colour_token"
_COST, _ONE, _TWO, _APART, _OWN = (  # also what the address says
    "what ablating each costs",
    "activation on a prompt",
    "activation on its counterpart",
    "difference of the two prompts",
    "activation on your text",
)
_SHOWN = 24  # characters of the reader's text in the legend
_HELP = (
    "Costs: the rise in the loss when that node alone is ablated. Activations: in the circuit, "
    "with everything else at its mean, on one token of one of the task's prompts. Their "
    "difference: class 1 minus class 2, which differ in what decides the answer. Your text: the "
    "one on the prompt page."
)


@dataclass(frozen=True, eq=False)
class Colouring:
    """The numbers behind the colours, what else hovering tells, and both under one name."""

    shading: Shading
    more: tuple[Shading, ...]
    key: tuple[str, ...]
    caption: str
    legend: str  # beside the scale


def chosen(view: LiveView, below: DeltaGenerator) -> Colouring | None:
    """What the reader wants; None where costs are wanted of a circuit too large to measure.

    ``below`` is where the reader's own text is asked for. There is no colour without one.
    """
    by = st.selectbox(
        "Colour by",
        [_COST, _ONE, _TWO, _APART, *([_OWN] if _has_tokenizer(view) else [])],
        **bound(BY, _COST),
        help=_HELP,
        width=175,
        label_visibility="collapsed",
    )
    costs = known_costs_of_nodes(view, state.fill())
    of_cost = None if costs is None else _of_cost(costs)
    if by == _OWN:
        with below:
            return _on_own(view, () if of_cost is None else (of_cost,))
    if by in (_ONE, _TWO, _APART):
        return _by_activation(view, by, () if of_cost is None else (of_cost,))
    if costs is None or of_cost is None:
        return None
    caption = (
        "Nodes: blue to orange by the rise in the loss when that node alone is ablated, live, on "
        f"{costs.on}; hover for the number."
    )
    key = (_COST, state.fill(), str(costs.prompts))
    return Colouring(of_cost, (), key, caption, f"{of_cost.unit}, {costs.on}")


def _of_cost(costs: Costs) -> Shading:
    rises = {node: rise for node, rise in costs.rises.items() if isinstance(node, Node)}
    return cost(rises, f"live, on {costs.on}")


def _by_activation(view: LiveView, by: str, costs: tuple[Shading, ...]) -> Colouring:
    batch = view.experiment.batch
    pair = int(st.number_input("Pair", 1, batch.n_pairs, **bound(_PAIR, 1), width=110))
    rows = [pair - 1, pair - 1 + batch.n_pairs]
    ends = batch.last[rows].tolist()
    before = int(
        st.number_input(
            "Tokens before the last",
            0,
            min(ends),
            **bound(_BEFORE, 0),
            width=170,
            help="0 is the last token, where the answer is read. Both prompts are counted back "
            "from their ends.",
        )
    )
    found = _activations(view, cached.identity(view), pair)
    places = [end - before for end in ends]
    one, two = ({n: float(x[i, places[i]]) for n, x in found.items()} for i in (0, 1))
    names = [f"activation, class {i}, token {place + 1}" for i, place in enumerate(places, 1)]
    of_one, of_two = Shading(one, names[0]), Shading(two, names[1])
    apart = Shading({node: one[node] - two[node] for node in one}, "class 1 − class 2")
    all_three = {_ONE: of_one, _TWO: of_two, _APART: apart}
    shading = all_three.pop(by)
    caption = (
        f"Nodes: blue to orange by {by}, in the circuit, pair {pair}, at "
        f"{_tokens(view, rows, places)}. Zero is the middle of the scale; hover for all numbers."
    )
    key = (by, str(pair), str(before), state.fill())
    legend = f"{shading.name}, pair {pair}"
    return Colouring(shading, (*all_three.values(), *costs), key, caption, legend)


def _on_own(view: LiveView, costs: tuple[Shading, ...]) -> Colouring | None:
    """The text's field, one of its tokens, and the nodes' activations on it."""
    tokenizer = cached.tokenizer(view.choice.model)
    text = prompts.text_field(view.experiment, tokenizer)
    ids = prompts.fitting(tokenizer.encode(text), view.config.block_size, tokenizer)
    if ids is None:
        return None
    st.session_state[_TOKEN] = min(st.session_state.get(_TOKEN, _asked(len(ids))), len(ids))
    label = f"Token, 1 to {len(ids)}"
    place = int(st.number_input(label, 1, len(ids), key=_TOKEN, width=150))
    write(_TOKEN, str(place))
    circuit, model = (
        {node: float(values[place - 1]) for node, values in found.items()}
        for found in _on_text(view, cached.identity(view), tuple(ids))
    )
    of_circuit = Shading(circuit, f"activation, circuit, token {place}")
    of_model = Shading(model, f"activation, whole model, token {place}")
    token, words = map(show_token, (tokenizer.token_bytes(ids[place - 1]), text.encode()))
    legend = f"activation, no unit, on token {place} “{token}” of your text “{_short(words)}”"
    caption = (
        f"Nodes: blue to orange by their activation in the circuit, live, on token {place} "
        f"“{plain(token)}” of your text, everything else at its mean. Zero is the middle of the "
        "scale; hover for it and for the activation in the whole model."
    )
    key = (_OWN, *map(str, ids), str(place), state.fill())
    return Colouring(of_circuit, (of_model, *costs), key, caption, legend)


def _asked(tokens: int) -> int:
    """The token that the address says; the last one where it says none."""
    text = st.query_params.get(_TOKEN, "")
    return max(int(text), 1) if text.isdecimal() else tokens


def _short(words: str) -> str:
    return words if len(words) <= _SHOWN else f"… {words[-_SHOWN:]}"


@st.cache_resource(max_entries=64, show_spinner="Reading your text …")
def _on_text(
    _view: LiveView, identity: int, ids: Sequence[int]
) -> tuple[Mapping[Node, Float[Tensor, " pos"]], Mapping[Node, Float[Tensor, " pos"]]]:
    """Of every kept node on each token: in the circuit, and in the whole model."""
    experiment, tokens = _view.experiment, torch.tensor([list(ids)])
    hooks = (mean_fill(experiment.alive, experiment.means), no_hook)
    circuit, model = (
        {node: values[0] for node, values in found.items()}
        for found in (
            node_activations(experiment.model, experiment.circuit.node_list, tokens, hook)
            for hook in hooks
        )
    )
    return circuit, model


@shared()
def _activations(
    _view: LiveView, identity: int, pair: int
) -> Mapping[Node, Float[Tensor, "prompt pos"]]:
    """Of every kept node on both prompts of a pair, in the circuit."""
    experiment = _view.experiment
    rows = torch.tensor([pair - 1, pair - 1 + experiment.batch.n_pairs])
    tokens = experiment.batch.tokens[rows, : int(experiment.batch.last[rows].max()) + 1]
    return node_activations(
        experiment.model,
        experiment.circuit.node_list,
        tokens,
        mean_fill(experiment.alive, experiment.means),
    )


def _has_tokenizer(view: LiveView) -> bool:
    return Store.from_environment().path_of_tokenizer(view.choice.model) is not None


def _tokens(view: LiveView, rows: list[int], places: list[int]) -> str:
    """The two tokens, in words."""
    if not _has_tokenizer(view):
        return f"tokens {places[0] + 1} and {places[1] + 1}"
    tokenizer, batch = cached.tokenizer(view.choice.model), view.experiment.batch
    shown = [
        plain(show_token(tokenizer.token_bytes(int(batch.tokens[row, place]))))
        for row, place in zip(rows, places, strict=True)
    ]
    return (
        f"token {places[0] + 1} “{shown[0]}” (class 1) and token {places[1] + 1} “{shown[1]}” "
        "(class 2)"
    )


def graph_by_cost(view: LiveView) -> None:
    """The graph with its toolbar; nodes in the colour of what the reader asks for."""
    row, below = controls(), st.container()
    with row:
        block = block_field(view)
        colours = chosen(view, below)
        shown, edges = weight_field(block)
        example.fields(view, below)
        explained = notes()
    words = example.captions(view)

    def figure(_: CircuitView, __: int, theme: str | None, baked: tuple) -> Figure:
        if colours is None:
            return graph.plain_figure(shown, cached.identity(shown), theme, baked)
        key = (*colours.key, *words.values())
        return _shaded(view, shown, colours, words, cached.identity(shown), key, theme, baked)

    example.answers(view)
    graph.draw(view, figure, paths.points_out(view))
    example.prompt(view)
    graph.keys(view)
    with explained:
        graph.legend(view)
        st.caption(f"In the picture: {edges}.")
        if words:
            st.caption(
                "Captions, on the nodes that cost most: your label, or else the token on which "
                "the node's mean activation in the whole model stands out most, with that mean."
            )
        if colours is not None:
            theme = palette(st.context.theme.type)
            st.html(scale_legend(theme, colours.shading.largest, colours.legend, note=""))
            st.caption(colours.caption)


@shared()
def _shaded(
    _view: LiveView,
    _shown: CircuitView,
    _colours: Colouring,
    _captions: Mapping[Node, str],
    identity: int,
    key: tuple[str, ...],
    theme: str | None,
    baked: tuple,
) -> Figure:
    drawn = (_shown.wiring, _shown.layout, _shown.config, _colours.shading, palette(theme), baked)
    whole = graph.whole_of(_shown)
    return shaded_figure(*drawn, mean_activations(_view), _colours.more, _captions, whole)


def mean_activations(view: LiveView) -> dict[Node, float]:
    """Of every kept node, over the pretraining text."""
    values = view.experiment.means.values
    return {node: float(values[node.location][node.channel]) for node in view.wiring.nodes}
