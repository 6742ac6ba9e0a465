"""A text read by both models and by both hybrids; and what the bridges are worth, site by site."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from circuit_sparsity.bridges.bridge import Site
from circuit_sparsity.bridges.pair import HybridReading, Pair
from circuit_sparsity.core.tokenizer import Tokenizer
from circuit_sparsity.experiment.scores import card_of
from circuit_sparsity.plots.tokens import show_token
from circuit_sparsity.store import Store
from circuit_sparsity.ui.shell import prompts, strips
from circuit_sparsity.ui.shell.address import bound
from circuit_sparsity.ui.shell.cached import LiveView
from circuit_sparsity.ui.shell.messages import plain
from circuit_sparsity.ui.shell.strips import Strip

_SITE, _TEXT = "bridge_site", "bridge_text"
_READERS = {
    "sparse": "Sparse model",
    "dense": "Dense model",
    "dense_to_sparse": "Dense, then sparse",
    "sparse_to_dense": "Sparse, then dense",
}
_EXAMPLE = 'def greet(name):\n    return "Hello, " + name\n'
_LOSS_HELP = (
    "Cross-entropy of a token given all before it, in nats per token, over the whole vocabulary. "
    "The first token is given."
)
_COLUMNS = {
    "site": "site",
    "nmse_to_sparse": "NMSE into sparse",
    "nmse_to_dense": "NMSE into dense",
    "loss_dense_to_sparse": "dense, then sparse: nats per token",
    "loss_sparse_to_dense": "sparse, then dense: nats per token",
}
_BASELINES = {
    "trained": "These bridges",
    "ridge": "Ridge regression, the sparse model as it was before",
    "ridge_of_untrained": "Ridge regression, an untrained model as sparse",
}


def reading(view: LiveView, pair: Pair, tokenizer: Tokenizer) -> None:
    """The text field, the site, next tokens of four readers, losses by token, where they part."""
    st.markdown(
        "A hybrid runs one model up to a site, crosses the bridge, and goes on in the other. Where "
        "the bridge carries everything, it reads on as if nothing had happened."
    )
    text = prompts.field("Text", _TEXT, _EXAMPLE)
    sites = [str(site) for site in pair.bridges.pairing.sparse]
    name = st.selectbox(
        "Cross over before",
        sites,
        **bound(_SITE, sites[0]),
        help="The residual stream that this block of the sparse model reads.",
    )
    tokens = prompts.fitting(tokenizer.encode(text), pair.context, tokenizer, "bridge")
    if tokens is None:
        return
    found = pair.read(tokens, Site.parse(name))
    _next_tokens(found, tokenizer)
    _losses(found, tokenizer)


def _next_tokens(found: HybridReading, tokenizer: Tokenizer) -> None:
    st.markdown("##### The next token")
    told = found.next_tokens()
    columns = {
        _READERS[name]: [
            f"{show_token(tokenizer.token_bytes(token))}  {chance:.1%}" for token, chance in rows
        ]
        for name, rows in told.items()
    }
    st.dataframe(pd.DataFrame(columns), width="stretch", hide_index=True)


def _losses(found: HybridReading, tokenizer: Tokenizer) -> None:
    if len(found.tokens) < 2:
        st.caption("A single token has no loss: nothing comes before it.")
        return
    st.markdown("##### Loss of each token, nats per token", help=_LOSS_HELP)
    shown = [
        Strip(
            f"{_READERS[name]}, mean {float(losses.mean()):.3f}",
            found.tokens,
            [0.0, *losses.tolist()],
        )
        for name, losses in found.losses.items()
    ]
    strips.draw(shown, tokenizer, unit="nats per token", is_signed=False)
    for one, other in (("sparse", "dense_to_sparse"), ("dense", "sparse_to_dense")):
        parts = ", ".join(
            f"“{show_token(tokenizer.token_bytes(found.tokens[at]))}” "
            f"({float(found.losses[one][at - 1]):.2f} against "
            f"{float(found.losses[other][at - 1]):.2f})"
            for at in found.partings(one, other, 3)
        )
        st.markdown(plain(f"{_READERS[one]} and “{_READERS[other]}” disagree most at {parts}."))
    strips.numbers(shown, tokenizer)


def sites(pair: Pair) -> None:
    """The table of the card: NMSE and hybrid losses by site, beside two baselines."""
    card = card_of(Store.from_environment(), pair.sparse_name) or {}
    told = card.get("bridges")
    for note in pair.notes:
        st.caption(plain(note))
    if not isinstance(told, dict):
        st.info(
            "This pair has no card. "
            f"`python -m circuit_sparsity bridge-evaluate {pair.sparse_name} {pair.dense_name}` "
            "measures it on held-out text.",
            icon=":material/straighten:",
        )
        return
    for key, title in _BASELINES.items():
        if key in told:
            st.markdown(f"##### {title}")
            _table(told[key])
    st.caption(
        "NMSE is the squared error over the squared distance from the mean: 0 is perfect, 1 no "
        "better than the mean. Compare a hybrid's loss with that of the model it ends in."
    )


def _table(told: Mapping[str, Any]) -> None:
    rows = [{title: site[key] for key, title in _COLUMNS.items()} for site in told["sites"]]
    st.dataframe(pd.DataFrame(rows).round(3), width="stretch", hide_index=True)
    st.caption(
        f"The sparse model alone {told['loss_sparse']:.3f}, the dense one alone "
        f"{told['loss_dense']:.3f} nats per token; {told['tokens']:,} held-out tokens."
    )
