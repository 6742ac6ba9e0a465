"""What a node does from there on: to the vocabulary directly, or to where its head looks."""

import pandas as pd
import streamlit as st
from jaxtyping import Float
from torch import Tensor

from circuit_sparsity.core.names import Node
from circuit_sparsity.core.tokenizer import Tokenizer
from circuit_sparsity.nodes.vocabulary import IGNORED, direct_effect
from circuit_sparsity.plots.tokens import show_token
from circuit_sparsity.plots.words import signed
from circuit_sparsity.ui.node import attention
from circuit_sparsity.ui.node import texts as node_texts
from circuit_sparsity.ui.node.attention import PATTERN, SCORE, VALUE, View
from circuit_sparsity.ui.shell import prompts
from circuit_sparsity.ui.shell.cached import Scene
from circuit_sparsity.ui.shell.choices import pair_field
from circuit_sparsity.ui.shell.messages import plain

_SHOWN = 12  # tokens a side
_SHOW = "of_head"


def vocabulary(scene: Scene, node: Node, tokenizer: Tokenizer) -> None:
    """The tokens whose logits one unit of the node raises and lowers most."""
    effect = direct_effect(scene.experiment.model, node)
    if effect is None:
        st.info(
            "This node writes nothing to the residual stream itself, so it has no direct effect "
            "on the vocabulary. Follow its weights to what it feeds.",
            icon=":material/info:",
        )
        return
    st.markdown(
        "One unit of activation adds so much to each next token's logit, by the shortest way: the "
        "gain of the last norm, then the unembedding (logit lens).",
        help=f"Left out: {'; '.join(IGNORED)}.",
    )
    st.caption(f"Left out: {'; '.join(IGNORED)}. Computed from the weights; nothing is run.")
    first, second = prompts.answer_pair(scene.experiment, tokenizer)
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


def head(scene: Scene, node: Node, tokenizer: Tokenizer) -> None:
    """The attention of the node's head, model beside circuit, the sink included."""
    width, layer = scene.config.d_head, node.location.layer
    assert layer is not None, f"{node} is in no head"
    number, channel = divmod(node.channel, width)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        show = st.segmented_control(
            f"Of head {number} in layer {layer}",
            (PATTERN, VALUE if node.location.kind == "v" else SCORE),
            default=PATTERN,
            required=True,
            key=_SHOW,
        )
        source = node_texts.source_field((node_texts.PAIRS, node_texts.OWN))
        ids = _prompt(scene) if source == node_texts.PAIRS else None
    if source == node_texts.OWN:
        ids = node_texts.own_tokens(scene, tokenizer)
    if ids is not None:
        view = View(layer, number, show or PATTERN, channel)
        attention.side_by_side(scene.experiment, view, ids, tokenizer)


def _prompt(scene: Scene) -> list[int]:
    """One of the two prompts of a pair."""
    pair = pair_field(scene.experiment.batch.n_pairs, node_texts.PAIR)
    both = node_texts.pair_tokens(scene, pair)
    which = st.segmented_control(
        "Prompt", ("Class 1", "Class 2"), default="Class 1", required=True, key="class"
    )
    return both[which == "Class 2"]


def _frame(effect: Float[Tensor, " vocab"], order: Tensor, tokenizer: Tokenizer) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "next token": [show_token(tokenizer.token_bytes(token)) for token in order.tolist()],
            "adds to its logit, per unit": effect[order].tolist(),
        }
    )
