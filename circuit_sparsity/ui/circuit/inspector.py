"""Beside the graph: the effect of what is ablated, a part's place, its neighbours."""

import time
from contextlib import AbstractContextManager

import streamlit as st

from circuit_sparsity.circuits.circuit import total_nodes
from circuit_sparsity.circuits.edges import Edge
from circuit_sparsity.circuits.recipe import Recipe
from circuit_sparsity.circuits.wiring import Neighbour, Wiring
from circuit_sparsity.core.names import FINAL_RESID, Node
from circuit_sparsity.experiment.experiment import Effect, Experiment, Outcome
from circuit_sparsity.experiment.recipes import faithfulness_of
from circuit_sparsity.plots.colours import palette
from circuit_sparsity.plots.evidence import meter_html
from circuit_sparsity.plots.words import place_in_words, recipe_in_words, signed
from circuit_sparsity.release import StoredEdge
from circuit_sparsity.ui.circuit import example, fires
from circuit_sparsity.ui.shell import history, state
from circuit_sparsity.ui.shell.cached import CircuitView, LiveView
from circuit_sparsity.ui.shell.costs import (
    LOSS_HELP,
    RIGHT_HELP,
    change,
    cost_alone,
    measure_all,
    number,
)
from circuit_sparsity.ui.shell.fields import among
from circuit_sparsity.ui.shell.messages import plain

SIZE_HELP = (
    "Nodes are channels that run; every other channel of the model is held at its mean over the "
    "pretraining text. Edges are the nonzero weights between kept nodes; links through the "
    "residual stream and through attention are drawn and not counted."
)
ABLATED_HELP = (
    "A node that is ablated is held at its mean over the pretraining text (or at zero, or at a "
    "number), at every position. An edge that is ablated carries its source at that level into its "
    "one target. Everything outside the circuit stays at its mean."
)
FAITHFUL_HELP = (
    "(m(C') − m(∅)) / (m(M) − m(∅)), where m is the mean task loss: 1 is as good as the whole "
    "model, 0 as "
    "good as the circuit that keeps nothing; above 1 it is better than its model. The tick is the "
    "circuit with nothing changed."
)
HELD_HELP = (
    "Mean: over the pretraining text, as everything outside the circuit is. Zero: a value that "
    "the model may never have seen there. The recipe below the graph can also set or scale each "
    "part."
)
_EXAMPLE_HELP = (
    "Probability of the right answer against the wrong one on the example prompt, in the circuit "
    "and after the change. The numbers below are means over all prompts."
)
_FIRST_FEW = 8  # neighbours shown before one asks for the rest
_CHANCE = "Chance: 0.6931 nats a sequence, p 0.5."
_NOTHING = 1e-6  # nats: below this on every prompt, the ablation changed nothing


def inspector(view: LiveView) -> None:
    """What is looked at, then what is changed and its effect, or the circuit's own numbers."""
    _size(view)
    state.search_field(view)
    part, off = state.selected(view), state.changed(view)
    if part is not None:
        _looked_at(view, part)
    if off:
        _changed(view, off)
    else:
        _whole(view, is_all=part is None)
    measure_all(view, state.fill())
    about = part if part is not None else off[0] if len(off) == 1 else None
    if isinstance(about, Node):
        _node(view, about)
    elif about is not None:
        edge(view, about)


def _looked_at(view: LiveView, part: Node | Edge) -> None:
    """The head of a node's or an edge's card: its name, its scissors, what it costs."""
    off = part in state.changed(view)
    st.markdown(f"##### `{part}`")
    with st.container(horizontal=True, gap="small"):
        st.button(
            "Restore" if off else "Ablate",
            key="cut_selected",
            icon=":material/undo:" if off else ":material/content_cut:",
            type="secondary" if off else "primary",
            help="Key: A, or double click it in the graph.",
            on_click=state.toggle,
            args=(view, part),
        )
        st.button(
            "Close", key="close_selected", type="tertiary", on_click=state.select, args=(None,)
        )
    rise = cost_alone(view, part, state.fill())
    st.markdown(
        f"Ablated alone: **{signed(rise, 4)}** nats",
        help="Rise in the mean task loss, nats per sequence, on "
        f"{plain(view.experiment.batch_name)}. {ABLATED_HELP}",
    )


def _changed(view: LiveView, off: tuple[Node | Edge, ...]) -> None:
    """The effect of all that is changed, computed now."""
    experiment, recipe = view.experiment, state.recipe()
    with _running():
        of_model, before = experiment.of_model, experiment.of_circuit  # run once and kept
        start = time.perf_counter()
        after = experiment.apply(recipe).after
        seconds = time.perf_counter() - start
    nodes, edges = state.picked(view), state.picked_edges(view)
    effect = Effect((*nodes, *edges), before, after)
    words = recipe_in_words(recipe, effect.parts, "`")
    st.markdown(f"##### {words[0].upper()}{words[1:]}", help=ABLATED_HELP)
    if (told := example.before_and_after(view, effect)) is not None:
        st.markdown(f"On the example below the graph: {told}", help=_EXAMPLE_HELP)
    _effect(effect, of_model, seconds, experiment.batch_name)
    _held_at()
    _meter(experiment, after)
    if _largest_change(effect) < _NOTHING:
        _unchanged(view.wiring, nodes, edges, recipe)
    history.buttons(view)
    if len(off) > 1:
        st.caption(
            "The recipe below the graph shows the effect of each step alone, in order, "
            "and together."
        )


def _meter(experiment: Experiment, outcome: Outcome) -> None:
    of_circuit = faithfulness_of(experiment, experiment.of_circuit)
    now = faithfulness_of(experiment, outcome)
    if now is None or of_circuit is None:
        st.caption(
            "Faithfulness is **undefined** here: on these prompts the whole model is as good as "
            "the circuit that keeps nothing (less than 0.01 nats apart).",
            help=FAITHFUL_HELP,
        )
        return
    st.html(meter_html(palette(st.context.theme.type), now, of_circuit))
    st.caption("Faithfulness: 0 the empty circuit, 1 the whole model.", help=FAITHFUL_HELP)


def _held_at() -> None:
    among("Replace with", ("mean", "zero"), state.FILL, HELD_HELP)


def _running() -> AbstractContextManager[None]:
    return st.spinner("Running the prompts …", show_time=True)


def _size(view: LiveView) -> None:
    circuit, config = view.experiment.circuit, view.experiment.model.config
    st.markdown(
        f"**{circuit.size:,}** of {total_nodes(config):,} nodes · "
        f"**{len(view.wiring.edges):,}** edges",
        help=SIZE_HELP,
    )


def _whole(view: LiveView, is_all: bool) -> None:
    """The circuit with nothing changed; what to do next where it ``is_all`` that is shown."""
    experiment = view.experiment
    with _running():
        of_circuit, of_model = experiment.of_circuit, experiment.of_model
    st.markdown("##### The circuit, unchanged")
    with st.container(horizontal=True, gap="small"):
        number("Task loss, nats", of_circuit.loss, of_model.loss, LOSS_HELP)
        number("p(right)", of_circuit.p_right, of_model.p_right, RIGHT_HELP)
    st.caption(f"On {plain(experiment.batch_name)}. {_CHANCE}")
    _meter(experiment, of_circuit)
    if history.past() or history.future():
        history.buttons(view)
    if not is_all:
        return
    st.info(
        "**Click a node**, or the middle of an edge, to look at it. **Double click** it to ablate "
        "it: the task is run again without it, here and now. **Shift+click** collects several. The "
        "field above and the tables below do the same from the keyboard.",
        icon=":material/ads_click:",
    )


def _effect(effect: Effect, of_model: Outcome, seconds: float, prompts: str) -> None:
    before, after = effect.before, effect.after
    with st.container(horizontal=True, gap="small"):
        change("Task loss, nats", before.loss, after.loss, LOSS_HELP, rise_is_worse=True)
        change("p(right)", before.p_right, after.p_right, RIGHT_HELP, rise_is_worse=False)
    st.caption(
        f"Live: run in {_time(seconds)} on {plain(prompts)}. Baseline: the circuit "
        f"with all its nodes. Whole model: {of_model.loss:.4f} nats, p {of_model.p_right:.4f}. "
        f"{_CHANCE}"
    )


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 0.1 else f"{max(seconds * 1000, 0.1):.1f} ms"


def _unchanged(
    wiring: Wiring, nodes: tuple[Node, ...], edges: tuple[Edge, ...], recipe: Recipe
) -> None:
    how = recipe.steps[0].level.how
    at_mean = len(recipe) == 1 and nodes and how == "mean"
    which = "them" if len(recipe) > 1 else "it"
    level = "its mean" if at_mean else "that level"
    read = bool(edges) or any(wiring.out_of(node) or node.location == FINAL_RESID for node in nodes)
    reason = (
        f"on these prompts the circuit already has {which} at {level}, or passes nothing of "
        f"{which} on."
        if read
        else f"nothing that is kept reads {which}."
    )
    st.warning(
        "**This changed nothing.** On every prompt the loss is the same to a millionth of a nat: "
        f"{reason}",
        icon=":material/exclamation:",
    )


def _largest_change(effect: Effect) -> float:
    before, after = effect.before.losses.tolist(), effect.after.losses.tolist()
    return max(abs(a - b) for a, b in zip(after, before, strict=True))


def _node(view: LiveView, node: Node) -> None:
    place(view, node)
    fires.section(view, node)
    _neighbours(view, node, "Fed by", view.wiring.into(node), _no_input(node))
    _neighbours(view, node, "Feeds", view.wiring.out_of(node), _no_output(node))


def _neighbours(
    view: LiveView, node: Node, title: str, near: tuple[Neighbour, ...], nobody: str
) -> None:
    """Buttons from the strongest weight down; a click goes to that node."""
    st.markdown(
        f"**{title}** ({len(near)})",
        help="Weights first, strongest first, with sign; then links, which have no weight of "
        "their own. Click one to go there.",
    )
    if not near:
        st.caption(nobody)
        return
    with st.container(gap=None):
        for neighbour in near[:_FIRST_FEW]:
            _neighbour(view, node, title, neighbour)
    if len(near) > _FIRST_FEW:
        with st.expander(f"{len(near) - _FIRST_FEW} more"), st.container(gap=None):
            for neighbour in near[_FIRST_FEW:]:
                _neighbour(view, node, title, neighbour)


def _neighbour(view: LiveView, node: Node, title: str, neighbour: Neighbour) -> None:
    by = f"by {neighbour.by}" if neighbour.weight is None else signed(neighbour.weight)
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.button(
            f"`{neighbour.node}` {by}",
            key=f"{title} {neighbour.node} {neighbour.by}",
            type="tertiary",
            on_click=state.select,
            args=(neighbour.node,),
        )
        edge = view.wiring.edge_between(node, neighbour.node)
        if neighbour.weight is not None and edge is not None:
            st.button(
                "cut",
                key=f"cut {edge}",
                icon=":material/content_cut:",
                type="tertiary",
                help="Ablate this one edge, or restore it.",
                on_click=state.toggle,
                args=(view, edge),
            )


def _no_input(node: Node) -> str:
    if node.location.kind == "act_in":
        return "No kept node writes this channel: what it reads comes from the embeddings or means."
    return "No kept node feeds it: it is constant, or depends on the token's norm alone."


def _no_output(node: Node) -> str:
    if node.location == FINAL_RESID:
        return "The unembedding reads it."
    return "No kept node reads it."


def place(view: CircuitView, node: Node) -> None:
    """Where the node is."""
    words = place_in_words(node, view.config)
    st.markdown(f"{words[0].upper()}{words[1:]}.")


def edge(view: CircuitView, joined: Edge | StoredEdge) -> None:
    """The weight, and both ends: a click goes there."""
    source, target = (place_in_words(node, view.config) for node in (joined.source, joined.target))
    st.markdown(f"Weight **{signed(joined.weight)}** from {source} into {target}.")
    with st.container(gap=None):
        for name, node in (("source", joined.source), ("target", joined.target)):
            st.button(
                f"`{node}` {name}",
                key=f"{name} {node}",
                type="tertiary",
                on_click=state.select,
                args=(node,),
            )
