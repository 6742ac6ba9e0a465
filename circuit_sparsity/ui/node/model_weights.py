"""Parts of the page of weights: a residual channel, a token, positions, as the model holds them."""

import pandas as pd
import streamlit as st
from jaxtyping import Float
from torch import Tensor

from circuit_sparsity.core.model import GPT
from circuit_sparsity.core.tokenizer import Tokenizer
from circuit_sparsity.nodes.vocabulary import (
    VocabularyMatrix,
    bigrams,
    matrix,
    positions,
    strongest,
)
from circuit_sparsity.plots.colours import palette
from circuit_sparsity.plots.tokens import show_token
from circuit_sparsity.plots.weights import histogram, position_map
from circuit_sparsity.ui.shell import state
from circuit_sparsity.ui.shell.address import write

_CHANNEL, _TOKEN, _KEPT = "residual", "token", "kept token"
_SHOWN = 200  # rows of a table
_SIDES: dict[VocabularyMatrix, str] = {
    "embedding": "What each token writes to this channel at the start.",
    "unembedding": "How much this channel, after the last norm and its gain, adds to the logit of "
    "each token as the next one.",
}


def channel(model: GPT, tokenizer: Tokenizer) -> None:
    """One residual channel: its tokens by weight in embedding and unembedding."""
    st.subheader("A residual channel")
    most = model.config.d_model - 1
    if _CHANNEL not in st.session_state:
        st.session_state[_CHANNEL] = _asked(st.query_params.get(_CHANNEL), _first(most), most)
    elif st.session_state[_CHANNEL] > most:
        st.session_state[_CHANNEL] = _first(most)
    chosen = int(st.number_input(f"Channel, 0 to {most}", 0, most, key=_CHANNEL, width=200))
    write(_CHANNEL, str(chosen))
    gain = float(model.get_parameter("transformer.ln_f.weight")[chosen])
    st.caption(f"Gain of the last norm on this channel: {gain:.4f}.")
    for column, (side, meaning) in zip(st.columns(2), _SIDES.items(), strict=True):
        with column:
            st.markdown(f"##### {side.capitalize()}", help=meaning)
            _by_token(matrix(model, side)[:, chosen].detach(), tokenizer, side)


def token(model: GPT, tokenizer: Tokenizer) -> None:
    """One token: its channels, and what the bigram table puts after it and before it."""
    st.subheader("A token")
    most = min(model.config.vocab_size, tokenizer.n_vocab)
    if st.session_state.get(_TOKEN) not in range(most):
        before = st.session_state.get(_KEPT, 0)
        st.session_state[_TOKEN] = _asked(st.query_params.get(_TOKEN), before, most - 1)
    chosen = st.selectbox(
        "Token",
        range(most),
        key=_TOKEN,
        format_func=lambda i: f"{i}  {show_token(tokenizer.token_bytes(i))}",
        help="Type a part of its text (a space is ·, a line end ↵) or its number.",
    )
    st.session_state[_KEPT] = chosen
    write(_TOKEN, str(chosen))
    after, before = st.columns(2)
    table = bigrams(model)
    if table is None:
        st.info("This model has no bigram table.", icon=":material/info:")
    else:
        with after:
            st.markdown(
                "##### Next, by the bigram table",
                help="What this token, as the last one, adds to the logit of each next token.",
            )
            _tokens(table[chosen], tokenizer, "adds to the logit")
        with before:
            st.markdown("##### Before it, by the bigram table")
            _tokens(table[:, chosen], tokenizer, "adds to the logit")
    sides: dict[VocabularyMatrix, str] = {"embedding": "Writes to", "unembedding": "Is read from"}
    for column, (side, title) in zip(st.columns(2), sides.items(), strict=True):
        with column:
            st.markdown(f"##### {title}, by the {side}")
            _channels(matrix(model, side)[chosen].detach())


def places(model: GPT) -> None:
    """The position embedding, channel by channel."""
    st.subheader("Positions")
    found = positions(model)
    if not found.channels:
        st.info(
            "This model has no position embedding: it is zero everywhere.", icon=":material/info:"
        )
        return
    how = (
        "added to the residual channels of these numbers"
        if found.added
        else f"appended after the {model.config.d_model} residual channels that attention and "
        "MLP read, under these numbers"
    )
    shown = found.values.norm(dim=0).argsort(descending=True)[:64].sort().values
    st.caption(
        f"One weight for each of {len(found.values):,} positions, {how}. "
        + (f"{len(found.channels)} channels are not all zero; " if found.added else "")
        + (f"the strongest {len(shown)} are shown." if len(shown) < len(found.channels) else "")
    )
    st.plotly_chart(
        position_map(
            found.values[:, shown],
            [found.channels[i] for i in shown.tolist()],
            palette(st.context.theme.type),
        ),
        key="position_map",
        config={"displaylogo": False},
        alt="Position embedding: a row for each channel, a column for each position",
    )


def _by_token(
    weights: Float[Tensor, " vocab"], tokenizer: Tokenizer, side: VocabularyMatrix
) -> None:
    nonzero = weights[weights != 0].tolist()
    st.caption(f"{len(nonzero):,} of {len(weights):,} tokens have a nonzero weight.")
    if not nonzero:
        return
    figure = histogram(nonzero, palette(st.context.theme.type), f"nonzero weight, {side}")
    st.plotly_chart(
        figure,
        key=f"histogram {side}",
        config={"displaylogo": False},
        alt=f"Histogram of the channel's nonzero weights in the {side}",
    )
    _tokens(weights, tokenizer, "weight")


def _tokens(weights: Float[Tensor, " vocab"], tokenizer: Tokenizer, what: str) -> None:
    found = strongest(weights, _SHOWN)
    known = [(i, x) for i, x in found if i < tokenizer.n_vocab]
    names = [show_token(tokenizer.token_bytes(i)) for i, _ in known]
    _table({"token": names, "id": [i for i, _ in known], what: [x for _, x in known]}, weights)


def _channels(weights: Float[Tensor, " d_model"]) -> None:
    found = strongest(weights, _SHOWN)
    _table({"residual channel": [i for i, _ in found], "weight": [x for _, x in found]}, weights)


def _table(columns: dict[str, list], weights: Float[Tensor, " n"]) -> None:
    """Strongest first; a click on a column's head sorts by sign."""
    count = int((weights != 0).sum())
    if not count:
        st.caption("Every weight is zero.")
        return
    st.dataframe(pd.DataFrame(columns), hide_index=True, height=300)
    if count > _SHOWN:
        st.caption(f"The strongest {_SHOWN} of {count:,} nonzero ones.")


def _asked(text: str | None, otherwise: int, most: int) -> int:
    """The number in the address, if it is one that exists."""
    return int(text) if text and text.isdecimal() and int(text) <= most else min(otherwise, most)


def _first(most: int) -> int:
    """The residual channel of the node that was picked last, or 0."""
    for node in state.last_nodes():
        residual = node.location.reads_residual or node.location.writes_residual
        if residual and node.channel <= most:
            return node.channel
    return 0
