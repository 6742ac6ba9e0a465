"""A node's card: four computed facts, its weights, and its effect on the vocabulary."""

from collections.abc import Callable, Sequence

import pandas as pd
import streamlit as st
from jaxtyping import Float
from torch import Tensor

from circuit_sparsity.circuits.wiring import Neighbour
from circuit_sparsity.core.names import FINAL_RESID, Node
from circuit_sparsity.core.tokenizer import Tokenizer
from circuit_sparsity.experiment.labels import Labels
from circuit_sparsity.nodes.card import NodeCard, card
from circuit_sparsity.nodes.firing import Firing
from circuit_sparsity.nodes.vocabulary import IGNORED, direct_effect
from circuit_sparsity.nodes.weights import into, out_of
from circuit_sparsity.plots.card import costs, fires_on, reads_from, writes_to
from circuit_sparsity.plots.tokens import show_token
from circuit_sparsity.plots.words import signed
from circuit_sparsity.ui.node import texts
from circuit_sparsity.ui.shell import prompts, state
from circuit_sparsity.ui.shell.cached import LiveView
from circuit_sparsity.ui.shell.costs import MOST_PARTS, costs_of_nodes
from circuit_sparsity.ui.shell.messages import plain
from circuit_sparsity.ui.shell.node_field import called, go

_HELP = {
    "Fires on": "Measured in the whole model: on held-out text where that was measured, else on "
    "the task's prompts. Tokens that occur at least 5 times, furthest from the node's mean first.",
    "Reads from": "Nonzero weights and links into this node, strongest first; biases left out.",
    "Writes to": "Nonzero weights and links out of this node, strongest first.",
    "Costs": "Rise in the mean task loss (cross-entropy over the two answers, nats per sequence) "
    "when this node alone is ablated.",
}


def show(view: LiveView, node: Node, tokenizer: Tokenizer, labels: Labels) -> None:
    """Fires on, reads from, writes to, costs; computed now."""
    found = texts.held_out(view.choice.model, node)
    if found is None:
        firing = texts.on_prompts(view, node, texts.MODEL)
        found = firing, f"{len(firing.values):,} tokens of the task's prompts"
    said = _card(view, node, *found)

    def name(other: Node) -> str:
        return called(other, labels)

    words = {
        "Fires on": fires_on(said, tokenizer.token_bytes),
        "Reads from": reads_from(said, name),
        "Writes to": writes_to(said, name),
        "Costs": costs(said, _rank(view, node)),
    }
    with st.container(border=True):
        for some in (("Fires on", "Costs"), ("Reads from", "Writes to")):
            for column, title in zip(st.columns(2, gap="medium"), some, strict=True):
                column.markdown(f"**{title}**", help=_HELP[title])
                column.markdown(plain(words[title]))


def _card(view: LiveView, node: Node, firing: Firing, measured_on: str) -> NodeCard:
    return card(view.experiment, node, firing, measured_on, state.fill())


def _rank(view: LiveView, node: Node) -> tuple[int, int] | None:
    nodes = view.circuit.node_list
    if len(nodes) > MOST_PARTS or not view.circuit.keeps(node):
        return None
    rises = costs_of_nodes(view, state.fill()).rises
    return 1 + sum(rises[other] > rises[node] for other in nodes), len(nodes)


_FIRST_FEW = 8  # buttons shown before one asks for the rest
_ROWS = 500
_WEIGHTS_HELP = (
    "Signed weights, strongest first, then links, which have no weight of their own: through the "
    "residual stream, or through the attention of one head. Click one to go to that node."
)


def weights(view: LiveView, node: Node, labels: Labels) -> None:
    """Into the node on the left, out of it on the right; a click goes there."""
    model, keeps = view.experiment.model, view.circuit.keeps
    sides: dict[str, Callable] = {"Into it": into, "Out of it": out_of}
    for column, (title, side) in zip(st.columns(2, gap="medium"), sides.items(), strict=True):
        every = side(model, node)
        kept = [near for near in every if keeps(near.node)]
        with column:
            st.markdown(f"##### {title}", help=_WEIGHTS_HELP)
            st.markdown(f"**In the circuit** ({len(kept)})")
            _buttons(title, kept, labels)
            if not kept:
                st.caption(_nobody(node, title))
            _table(view, title, every, labels)


def _buttons(title: str, kept: Sequence[Neighbour], labels: Labels) -> None:
    with st.container(gap=None):
        for near in kept[:_FIRST_FEW]:
            _button(title, near, labels)
    if len(kept) > _FIRST_FEW:
        with st.expander(f"{len(kept) - _FIRST_FEW} more"), st.container(gap=None):
            for near in kept[_FIRST_FEW:]:
                _button(title, near, labels)


def _button(title: str, near: Neighbour, labels: Labels) -> None:
    by = f"by {near.by}" if near.weight is None else signed(near.weight)
    label = labels.of(near.node)
    st.button(
        f"`{near.node}` {by}{f' {plain(label)}' if label else ''}",
        key=f"{title} {near.node} {near.by}",
        type="tertiary",
        on_click=go,
        args=(near.node,),
    )


def _table(view: LiveView, title: str, every: Sequence[Neighbour], labels: Labels) -> None:
    shown, keeps = every[:_ROWS], view.circuit.keeps
    with st.expander(f"In the whole model ({len(every):,})", icon=":material/table:"):
        if not every:
            st.caption("Nothing.")
            return
        more = f", the strongest {_ROWS}" if len(every) > _ROWS else ""
        st.caption(f"Tick a row to go to that node{more}.")
        key = f"table {title}"
        st.dataframe(
            pd.DataFrame(
                {
                    "node": [str(near.node) for near in shown],
                    "weight": [near.weight for near in shown],
                    "by": [near.by for near in shown],
                    "in the circuit": [keeps(near.node) for near in shown],
                    "your label": [labels.of(near.node) for near in shown],
                }
            ),
            key=key,
            on_select=lambda: _go_to_row(key, shown),
            selection_mode="single-row",
            hide_index=True,
            width="stretch",
        )


def _go_to_row(key: str, shown: Sequence[Neighbour]) -> None:
    rows = st.session_state[key]["selection"]["rows"]
    if rows:
        go(shown[rows[0]].node)


def _nobody(node: Node, title: str) -> str:
    if title == "Out of it":
        if node.location == FINAL_RESID:
            return "The unembedding reads it: see its effect on the vocabulary."
        return "Nothing that the circuit keeps reads it."
    return "Nothing that the circuit keeps feeds it: embeddings, biases and means do."


_SHOWN = 12  # tokens a side


def vocabulary(view: LiveView, node: Node, tokenizer: Tokenizer) -> None:
    """The tokens whose logits one unit of the node raises and lowers most."""
    effect = direct_effect(view.experiment.model, node)
    if effect is None:
        st.info(
            "This node writes nothing to the residual stream itself, so it has no direct effect "
            "on the vocabulary. Follow its weights to what it feeds.",
            icon=":material/info:",
        )
        return
    st.markdown(
        "How much one unit of activation adds to each next token's logit by the most direct "
        "route: the gain of the last norm, then the unembedding (logit lens).",
        help=f"Left out: {'; '.join(IGNORED)}.",
    )
    st.caption(f"Left out: {'; '.join(IGNORED)}. Computed from the weights; nothing is run.")
    first, second = prompts.answer_pair(view.experiment, tokenizer)
    names = [plain(show_token(tokenizer.token_bytes(token))) for token in (first, second)]
    st.markdown(
        f"On the task's answers: **{names[0]}** {signed(float(effect[first]))}, "
        f"**{names[1]}** {signed(float(effect[second]))}, so a unit moves the margin between them "
        f"by {signed(float(effect[first] - effect[second]))}."
    )
    order = effect.argsort(descending=True, stable=True)
    for column, title, some in zip(
        st.columns(2), ("Raises most", "Lowers most"), (order, order.flip(0)), strict=True
    ):
        column.markdown(f"##### {title}")
        column.dataframe(_frame(effect, some[:_SHOWN], tokenizer), hide_index=True, width="stretch")
    if not effect.count_nonzero():
        st.caption("No token's logit moves: the unembedding does not read what it writes.")


def _frame(effect: Float[Tensor, " vocab"], order: Tensor, tokenizer: Tokenizer) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "next token": [show_token(tokenizer.token_bytes(token)) for token in order.tolist()],
            "adds to its logit, per unit": effect[order].tolist(),
        }
    )
