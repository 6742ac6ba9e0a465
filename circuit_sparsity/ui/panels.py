"""What stands beside the graph: the effect of the ablation, the node's place, its neighbours."""

import time
from contextlib import AbstractContextManager

import streamlit as st

from circuit_sparsity.circuits.circuit import total_nodes
from circuit_sparsity.circuits.wiring import Neighbour, Wiring
from circuit_sparsity.experiment import Effect, Experiment, Outcome
from circuit_sparsity.names import FINAL_RESID, Node
from circuit_sparsity.plots.words import place_in_words, signed
from circuit_sparsity.ui import state, table
from circuit_sparsity.ui.cached import Scene
from circuit_sparsity.ui.messages import plain

SIZE_HELP = (
    "Nodes are channels that run; every other channel of the model is held at its mean over the "
    "pretraining text. Edges are the nonzero weights between kept nodes; links through the "
    "residual stream and through attention are drawn and not counted."
)
LOSS_HELP = (
    "Cross-entropy over just the two answer tokens at the last position, in nats per sequence, "
    "mean over the prompts. 0.693 (ln 2) is chance."
)
RIGHT_HELP = (
    "Probability of the right answer against the wrong one (the two sum to 1), mean over the "
    "prompts. 0.5 is chance."
)
ABLATED_HELP = (
    "Ablated: held at its mean over the pretraining text, at every position. Everything outside "
    "the circuit is held there too."
)
_FIRST_FEW = 8  # neighbours shown before one asks for the rest
_CHANCE = "Chance: 0.6931 nats a sequence, p 0.5."
_NOTHING = 1e-6  # nats: below this on every prompt, the ablation changed nothing


def inspector(scene: Scene) -> None:
    """The circuit's numbers, or the effect of switching off the picked nodes, computed now."""
    experiment = scene.experiment
    _size(scene)
    table.search_field(scene)
    nodes = state.picked(experiment.circuit)
    if not nodes:
        _whole(experiment)
        return
    with _running():
        of_model, _ = experiment.of_model, experiment.of_circuit  # run once and kept
        start = time.perf_counter()
        effect = experiment.ablate(nodes)
        seconds = time.perf_counter() - start
    _effect(effect, of_model, seconds, experiment.batch_name)
    if _largest_change(effect) < _NOTHING:
        _unchanged(scene.wiring, nodes)
    if len(nodes) == 1:
        _node(scene, nodes[0])
    else:
        _members(scene, nodes)
    st.button(
        "Restore all",
        icon=":material/undo:",
        on_click=state.choose,
        args=(experiment.circuit, ()),
    )


def _running() -> AbstractContextManager[None]:
    return st.spinner("Running the prompts …", show_time=True)


def _size(scene: Scene) -> None:
    circuit, config = scene.experiment.circuit, scene.experiment.model.config
    st.markdown(
        f"**{circuit.size:,}** of {total_nodes(config):,} nodes · "
        f"**{len(scene.wiring.edges):,}** edges",
        help=SIZE_HELP,
    )


def _whole(experiment: Experiment) -> None:
    with _running():
        of_circuit, of_model = experiment.of_circuit, experiment.of_model
    st.markdown("##### The circuit as it is")
    with st.container(horizontal=True, gap="small"):
        _number("Task loss, nats", of_circuit.loss, of_model.loss, LOSS_HELP)
        _number("p(right)", of_circuit.p_right, of_model.p_right, RIGHT_HELP)
    st.caption(f"On {plain(experiment.batch_name)}. {_CHANCE}")
    st.info(
        "**Click a node** to switch it off: the task is run again without it, here and now. Click "
        "it again to restore it. **Shift+click** collects several. The field above and the table "
        "below the graph do the same from the keyboard.",
        icon=":material/ads_click:",
    )


def _effect(effect: Effect, of_model: Outcome, seconds: float, prompts: str) -> None:
    what = f"`{effect.parts[0]}`" if len(effect.parts) == 1 else f"{len(effect.parts)} nodes"
    st.markdown(f"##### Without {what}", help=ABLATED_HELP)
    before, after = effect.before, effect.after
    with st.container(horizontal=True, gap="small"):
        _change("Task loss, nats", before.loss, after.loss, LOSS_HELP, rise_is_worse=True)
        _change("p(right)", before.p_right, after.p_right, RIGHT_HELP, rise_is_worse=False)
    st.caption(
        f"Live: run in {seconds:.2f} s on {plain(prompts)}. Baseline: the circuit "
        f"with all its nodes. Whole model: {of_model.loss:.4f} nats, p {of_model.p_right:.4f}. "
        f"{_CHANCE}"
    )


def _unchanged(wiring: Wiring, nodes: tuple[Node, ...]) -> None:
    it, its = ("it", "its mean") if len(nodes) == 1 else ("them", "their means")
    read = any(wiring.out_of(node) or node.location == FINAL_RESID for node in nodes)
    reason = (
        f"on these prompts the circuit has {it} at {its} anyway, or passes on nothing of {it}."
        if read
        else f"nothing that is kept reads {it}."
    )
    st.warning(
        "**This changed nothing.** On every prompt the loss is the same to a millionth of a nat: "
        f"{reason}",
        icon=":material/exclamation:",
    )


def _largest_change(effect: Effect) -> float:
    before, after = effect.before.losses.tolist(), effect.after.losses.tolist()
    return max(abs(a - b) for a, b in zip(after, before, strict=True))


def _node(scene: Scene, node: Node) -> None:
    place = place_in_words(node, scene.experiment.model.config)
    st.markdown(f"{place[0].upper()}{place[1:]}.")
    _neighbours(scene, node, "Fed by", scene.wiring.into(node), _no_input(node))
    _neighbours(scene, node, "Feeds", scene.wiring.out_of(node), _no_output(node))


def _members(scene: Scene, nodes: tuple[Node, ...]) -> None:
    st.markdown("**Ablated together**", help="Click one to restore it and keep the others off.")
    with st.container(gap=None):
        for node in nodes:
            st.button(
                f"`{node}`",
                key=f"restore {node}",
                icon=":material/close:",
                type="tertiary",
                on_click=state.choose,
                args=(scene.experiment.circuit, [other for other in nodes if other != node]),
            )


def _neighbours(
    scene: Scene, node: Node, title: str, near: tuple[Neighbour, ...], nobody: str
) -> None:
    """Buttons from the strongest weight down; a click ablates that node in this one's place."""
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
            _neighbour(scene, title, neighbour)
    if len(near) > _FIRST_FEW:
        with st.expander(f"{len(near) - _FIRST_FEW} more"), st.container(gap=None):
            for neighbour in near[_FIRST_FEW:]:
                _neighbour(scene, title, neighbour)


def _neighbour(scene: Scene, title: str, neighbour: Neighbour) -> None:
    by = f"by {neighbour.by}" if neighbour.weight is None else signed(neighbour.weight)
    st.button(
        f"`{neighbour.node}` {by}",
        key=f"{title} {neighbour.node} {neighbour.by}",
        type="tertiary",
        on_click=state.choose,
        args=(scene.experiment.circuit, (neighbour.node,)),
    )


def _no_input(node: Node) -> str:
    if node.location.kind == "act_in":
        return "No kept node writes this channel: what it reads comes from the embeddings or means."
    return "No kept node feeds it: it is constant, or depends on the token's norm alone."


def _no_output(node: Node) -> str:
    if node.location == FINAL_RESID:
        return "The unembedding reads it."
    return "No kept node reads it."


def _number(label: str, value: float, of_model: float, meaning: str) -> None:
    st.metric(
        label,
        f"{value:.4f}",
        f"model {of_model:.4f}",
        delta_color="off",
        delta_arrow="off",
        width="content",
        help=meaning,
    )


def _change(label: str, before: float, after: float, meaning: str, rise_is_worse: bool) -> None:
    change = signed(after - before, 4)
    moved = change[0] in "+\N{MINUS SIGN}"
    worse = (after > before) == rise_is_worse
    st.metric(
        label,
        f"{after:.4f}",
        f"{change} from {before:.4f}",
        delta_color="off" if not moved else "orange" if worse else "blue",
        delta_arrow="off",
        width="content",
        help=meaning,
    )
