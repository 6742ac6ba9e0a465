"""A node's card on a page: four computed facts in words."""

import streamlit as st

from circuit_sparsity.core.names import Node
from circuit_sparsity.core.tokenizer import Tokenizer
from circuit_sparsity.experiment.labels import Labels
from circuit_sparsity.nodes.card import NodeCard, card
from circuit_sparsity.nodes.firing import Firing
from circuit_sparsity.plots.card import costs, fires_on, reads_from, writes_to
from circuit_sparsity.ui.node import texts as node_texts
from circuit_sparsity.ui.node.field import called
from circuit_sparsity.ui.shell import costs as live
from circuit_sparsity.ui.shell import state
from circuit_sparsity.ui.shell.cached import Scene
from circuit_sparsity.ui.shell.messages import plain

_HELP = {
    "Fires on": "Measured in the whole model: on held-out text where that was measured, else on "
    "the task's prompts. Tokens that occur at least 5 times, furthest from the node's mean first.",
    "Reads from": "Nonzero weights and links into this node, strongest first; biases left out.",
    "Writes to": "Nonzero weights and links out of this node, strongest first.",
    "Costs": "Rise of the mean task loss (cross-entropy over the two answers, nats per sequence) "
    "when this node alone is ablated.",
}


def show(scene: Scene, node: Node, tokenizer: Tokenizer, labels: Labels) -> None:
    """Fires on, reads from, writes to, costs; computed now."""
    found = node_texts.held_out(scene.choice.model, node)
    if found is None:
        firing = node_texts.on_prompts(scene, node, node_texts.MODEL)
        found = firing, f"{len(firing.values):,} tokens of the task's prompts"
    said = _card(scene, node, *found)

    def name(other: Node) -> str:
        return called(other, labels)

    words = {
        "Fires on": fires_on(said, tokenizer.token_bytes),
        "Reads from": reads_from(said, name),
        "Writes to": writes_to(said, name),
        "Costs": costs(said, _rank(scene, node)),
    }
    with st.container(border=True):
        for some in (("Fires on", "Costs"), ("Reads from", "Writes to")):
            for column, title in zip(st.columns(2, gap="medium"), some, strict=True):
                column.markdown(f"**{title}**", help=_HELP[title])
                column.markdown(plain(words[title]))


def _card(scene: Scene, node: Node, firing: Firing, measured_on: str) -> NodeCard:
    return card(scene.experiment, node, firing, measured_on, state.fill())


def _rank(scene: Scene, node: Node) -> tuple[int, int] | None:
    nodes = scene.circuit.node_list
    if len(nodes) > live.MOST or not scene.circuit.keeps(node):
        return None
    rises = live.of_nodes(scene, state.fill()).rises
    return 1 + sum(rises[other] > rises[node] for other in nodes), len(nodes)
