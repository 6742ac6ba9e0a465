"""Texts as model, circuit and ablated circuit read them: next tokens, and token by token."""

from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from circuit_sparsity.core.tokenizer import Tokenizer
from circuit_sparsity.nodes.next_token import NextToken
from circuit_sparsity.nodes.reading import Parting, Reader, Reading, divergences, parting
from circuit_sparsity.plots.tokens import show_token
from circuit_sparsity.plots.words import recipe_in_words
from circuit_sparsity.ui.shell import cached, state, strips
from circuit_sparsity.ui.shell.cached import LiveView
from circuit_sparsity.ui.shell.messages import plain
from circuit_sparsity.ui.shell.shared import shared
from circuit_sparsity.ui.shell.strips import Strip

MODEL = "Whole model"
Readings = Mapping[str, Reading]  # by reader
_LOSS_HELP = (
    "Cross-entropy of a token given all before it, in nats per token, over the whole vocabulary: "
    "minus the logarithm of the probability that the reader gave it. The first token is given."
)
_KL_HELP = (
    "KL divergence of the next token's distribution from the whole model's, in nats: 0 where the "
    "two agree. It is shown on the token being predicted."
)


def readers(view: LiveView) -> dict[str, Reader]:
    """The whole model, the circuit, and the circuit with the reader's recipe."""
    experiment = view.experiment
    found = {
        MODEL: Reader(experiment.model),
        f"Circuit, {experiment.circuit.size} nodes": Reader(
            experiment.model, experiment.circuit, experiment.means
        ),
    }
    recipe = state.recipe()
    if len(recipe):
        changes = experiment.changes(recipe)
        name = recipe_in_words(recipe, [part for part, _ in changes])
        found[f"Circuit {name}"] = Reader(
            experiment.model, experiment.circuit, experiment.means, changes
        )
    return found


def read(view: LiveView, ids: Sequence[int]) -> Readings:
    """Each reader's reading of one text, with the activations of the circuit's nodes."""
    return _read(view, cached.identity(view), tuple(ids), str(state.recipe()))


@shared("Reading …")
def _read(_view: LiveView, identity: int, ids: tuple[int, ...], recipe: str) -> Readings:
    nodes = _view.circuit.node_list
    return {name: reader.read(ids, nodes) for name, reader in readers(_view).items()}


def next_tokens(found: Sequence[Readings], tokenizer: Tokenizer, answers: tuple[int, int]) -> None:
    """For each text, a column a reader: the two-way answer and the likeliest tokens."""
    for number, readings in enumerate(found, start=1):
        if len(found) > 1:
            st.markdown(f"##### After the {'first' if number == 1 else 'second'} text")
        runs = {name: NextToken(one.logits[-1]) for name, one in readings.items()}
        side_by_side(runs, answers, tokenizer)


def token_by_token(found: Sequence[Readings], tokenizer: Tokenizer) -> None:
    """Losses and divergences as strips on one scale each, and where the readers part."""
    losses = [[_losses(name, one) for name, one in readings.items()] for readings in found]
    apart = [_divergences(readings) for readings in found]
    st.markdown("##### Loss of each token, nats per token", help=_LOSS_HELP)
    _strips(losses, tokenizer, "nats per token")
    st.markdown("##### How far from the whole model, nats", help=_KL_HELP)
    _strips(apart, tokenizer, "nats, KL divergence from the whole model")
    for number, readings in enumerate(found, start=1):
        _partings(readings, tokenizer, f" in text {number}" if len(found) > 1 else "")
    strips.numbers([strip for some in (*losses, *apart) for strip in some], tokenizer)


def _strips(found: Sequence[Sequence[Strip]], tokenizer: Tokenizer, unit: str) -> None:
    """The strips of every text on one scale, said once for each text."""
    largest = max((v for some in found for strip in some for v in strip.activations), default=0.0)
    for number, some in enumerate(found, start=1):
        if len(found) > 1:
            st.markdown(f"**Text {number}**")
        strips.draw(some, tokenizer, largest, unit, is_signed=False)


def _losses(name: str, reading: Reading) -> Strip:
    losses = reading.losses.tolist()
    mean = f", mean {sum(losses) / len(losses):.3f}" if losses else ""
    return Strip(f"{name}, live{mean}", reading.tokens, [0.0, *losses])


def _divergences(readings: Readings) -> list[Strip]:
    model = readings[MODEL]
    return [
        # The first token is given; the last divergence is about a token that is not there yet.
        Strip(f"{name}, live", one.tokens, [0.0, *divergences(model, one)[:-1].tolist()])
        for name, one in readings.items()
        if name != MODEL
    ]


def _partings(readings: Readings, tokenizer: Tokenizer, where: str) -> None:
    st.markdown(f"##### Where they disagree{where}")
    model = readings[MODEL]
    for name, one in readings.items():
        if name != MODEL:
            found = parting(model, one)
            st.markdown(f"**{plain(name)}** {plain(_in_words(found, model, one, tokenizer))}")


def _in_words(found: Parting, model: Reading, other: Reading, tokenizer: Tokenizer) -> str:
    def shown(token: int) -> str:
        return f"“{show_token(tokenizer.token_bytes(token))}”"

    def after(position: int) -> str:
        expected, got = (int(one.logits[position].argmax()) for one in (model, other))
        what_follows = (
            f"both expect {shown(got)}"
            if expected == got
            else f"the model expects {shown(expected)}, this {shown(got)}"
        )
        return f"after token {position + 1}, {shown(model.tokens[position])}: {what_follows}"

    first = (
        "never: the likeliest next token is the model's everywhere"
        if found.first is None
        else f"first {after(found.first)}"
    )
    return (
        f"disagrees with the whole model {first}. Furthest apart {after(found.widest)} "
        f"({found.divergence:.3f} nats; mean over all positions {found.mean:.3f})."
    )


def table_of_pair(
    found: Sequence[Readings], answers: tuple[int, int], tokenizer: Tokenizer
) -> None:
    """What the difference between two texts does to the answer, for each reader."""
    first, second = (show_token(tokenizer.token_bytes(token)) for token in answers)
    one, other = found
    rows = []
    for name in one:
        chances = [NextToken(r[name].logits[-1]).against(*answers) for r in (one, other)]
        rows.append(
            {
                "reader": name,
                f"p({first}) after the first text": chances[0],
                f"p({first}) after the second": chances[1],
                "difference": chances[0] - chances[1],
            }
        )
    st.markdown(f"##### What the difference does to {plain(first)} against {plain(second)}")
    st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch")


_LIKELIEST = 8  # of the likeliest tokens


def side_by_side(
    found: Mapping[str, NextToken], answers: tuple[int, int], tokenizer: Tokenizer
) -> None:
    """A column for each run: the two-way answer and the likeliest tokens."""
    first, second = (show_token(tokenizer.token_bytes(token)) for token in answers)
    for column, (name, expected) in zip(st.columns(len(found)), found.items(), strict=True):
        share = expected.against(*answers)
        ranked = sorted(((share, first), (1 - share, second)), reverse=True)
        with column:
            st.markdown(f"#### {plain(name)}")
            st.metric(
                "Two-way answer",
                "{1}  {0:.1%}".format(*ranked[0]),
                plain("against {1}  {0:.1%}".format(*ranked[1])),
                delta_color="off",
                delta_arrow="off",
                help=f"Probability when only the task's two answers, {plain(first)} and "
                f"{plain(second)}, are allowed. 50% is chance.",
            )
            st.dataframe(
                _likeliest(expected, tokenizer),
                hide_index=True,
                column_config={
                    "probability": st.column_config.ProgressColumn(
                        format="percent", min_value=0, max_value=1
                    )
                },
            )


def _likeliest(expected: NextToken, tokenizer: Tokenizer) -> pd.DataFrame:
    rows = expected.top(_LIKELIEST)
    return pd.DataFrame(
        {
            "next token": [show_token(tokenizer.token_bytes(token)) for token, _ in rows],
            "probability": [probability for _, probability in rows],
        }
    )
