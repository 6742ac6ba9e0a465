"""A node's activations on the tokens of texts: strips of one colour scale, and as numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st
import torch

from circuit_sparsity.core.hooks import Hook, no_hook
from circuit_sparsity.core.names import Node
from circuit_sparsity.core.tokenizer import Tokenizer
from circuit_sparsity.experiment.experiment import Experiment
from circuit_sparsity.plots.activations import activation_strip, scale_legend
from circuit_sparsity.plots.colours import palette
from circuit_sparsity.plots.tokens import show_token
from circuit_sparsity.plots.words import signed
from circuit_sparsity.release import QUANTILES, Doc
from circuit_sparsity.runtime.ablation import mean_fill
from circuit_sparsity.runtime.activations import node_activations
from circuit_sparsity.tasks.alignment import align
from circuit_sparsity.ui.shell.cached import StoredView
from circuit_sparsity.ui.shell.fields import among
from circuit_sparsity.ui.shell.messages import plain

_QUANTILE = "token_quantile"


_RANK_HELP = (
    "The release ranks every token of its pretraining text by the node's activation. At 0.1%, the "
    "highest are those with a thousandth of all tokens above them; at 50% they are ordinary."
)


@dataclass(frozen=True, eq=False)
class Strip:
    """Activations of one node on the tokens of one text."""

    title: str  # says whether they are stored or live
    tokens: Sequence[int]
    activations: Sequence[float]
    marked: int | None = None


def rank_field(quantiles: Sequence[float], key: str, meaning: str) -> float:
    """Which share of all tokens ranks higher than those to be shown; the address holds it."""
    shares = {f"{share:.1%}" if share < 0.01 else f"{share:.0%}": share for share in quantiles}
    return shares[among("Rank among all tokens", list(shares), key, meaning)]


def stored_documents(view: StoredView, node: Node) -> tuple[list[Strip], float]:
    """The file's documents of the node, at a quantile that the reader picks; the largest of all.

    The largest magnitude is over every quantile, so that all are drawn on one scale.
    """
    quantiles = view.stored.documents.get(node)
    if not quantiles:
        st.info(
            f"The file holds no documents for {plain(str(node))}. Write a text of your own.",
            icon=":material/info:",
        )
        return [], 0.0
    known = [quantile for quantile in QUANTILES if quantile in quantiles] or [*quantiles]
    extremes = quantiles[rank_field(known, _QUANTILE, _RANK_HELP)]
    docs = [doc for sides in quantiles.values() for side in sides for doc in side]
    largest = max((float(doc.activations.abs().max()) for doc in docs), default=0.0)
    strips = [*_strips("Highest", extremes.top), *_strips("Lowest", extremes.bottom)]
    return strips, largest


def live(experiment: Experiment, tokens: Sequence[int], node: Node) -> list[Strip]:
    """The node on ``tokens``, run now: in the whole model, and in the circuit if it keeps it."""
    batch = torch.tensor([list(tokens)])
    hooks: dict[str, Hook] = {"Live, whole model": no_hook}
    if experiment.circuit.keeps(node):
        hooks["Live, circuit alone"] = mean_fill(experiment.alive, experiment.means)
    return [
        Strip(
            name, tokens, node_activations(experiment.model, [node], batch, hook)[node][0].tolist()
        )
        for name, hook in hooks.items()
    ]


def difference(two: Sequence[Strip], title: str) -> list[Strip]:
    """The first strip less the second where their texts are set against each other.

    On the tokens of the first; nothing, with a word on it, where no token has a counterpart.
    """
    one, other = two
    both = align(one.tokens, other.tokens).both
    if not both:
        st.caption("The two texts have neither beginning nor end in common: no difference to show.")
        return []
    apart = [one.activations[i] - other.activations[j] for i, j in both]
    return [Strip(title, [one.tokens[i] for i, _ in both], apart)]


def draw(
    strips: Sequence[Strip],
    tokenizer: Tokenizer | None,
    largest: float = 0.0,
    unit: str = "activation",
    is_signed: bool = True,
) -> None:
    """All strips on one scale, zero in its middle; it goes at least to ``largest``.

    Without ``is_signed`` nothing is below zero, and the scale says so.
    """
    if not strips:
        return
    colours = palette(st.context.theme.type)
    largest = max(largest, *(abs(value) for strip in strips for value in strip.activations))
    st.html(scale_legend(colours, largest, unit, is_signed))
    for strip in strips:
        shown = _token_bytes(strip.tokens, tokenizer)
        low, high = (signed(end(strip.activations)) for end in (min, max))
        st.caption(f"{strip.title}: from {low} to {high}")
        st.html(activation_strip(shown, strip.activations, colours, largest, strip.marked))


def numbers(strips: Sequence[Strip], tokenizer: Tokenizer | None) -> None:
    """The same as tables, for those who cannot see the colours."""
    with st.expander("As numbers", icon=":material/table:"):
        for tokens, group in _by_text(strips).items():
            names = [show_token(token) for token in _token_bytes(tokens, tokenizer)]
            columns = {strip.title: strip.activations for strip in group}
            st.dataframe(pd.DataFrame({"token": names, **columns}), width="stretch")


def _strips(side: str, docs: Sequence[Doc]) -> list[Strip]:
    return [
        Strip(
            f"{side} {rank}, stored, whole model",
            doc.tokens.tolist(),
            doc.activations.tolist(),
            doc.position,
        )
        for rank, doc in enumerate(docs, start=1)
    ]


def _by_text(strips: Sequence[Strip]) -> Mapping[tuple[int, ...], list[Strip]]:
    found: dict[tuple[int, ...], list[Strip]] = {}
    for strip in strips:
        found.setdefault(tuple(strip.tokens), []).append(strip)
    return found


def _token_bytes(tokens: Sequence[int], tokenizer: Tokenizer | None) -> list[bytes]:
    if tokenizer is None:
        return [f"[{token}]".encode() for token in tokens]
    return [tokenizer.token_bytes(token) for token in tokens]
