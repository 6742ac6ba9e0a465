"""One's own text or a minimal pair: as model, circuit and ablated circuit read it."""

from collections.abc import Sequence

import streamlit as st

from circuit_sparsity.core.tokenizer import Tokenizer
from circuit_sparsity.ui.prompt import active_nodes, continuation, readings
from circuit_sparsity.ui.shell import cached, messages, prompts, state
from circuit_sparsity.ui.shell.cached import LiveView
from circuit_sparsity.ui.shell.fields import among
from circuit_sparsity.ui.shell.page import circuit_page
from circuit_sparsity.ui.shell.pickers import Choice

_LOOK = "look"  # the address's parameter
_NEXT, _LOSSES, _NODES, _ON = "Next token", "Token by token", "Nodes", "Continue it"


def page(choice: Choice) -> None:
    view = cached.live(choice)
    tokenizer = cached.tokenizer(choice.model)
    state.prepare(view)
    messages.unknown_nodes(state.unknown_nodes(), view.circuit.title)
    st.markdown(
        "Write the beginning of a program; the model and its circuit say which token they expect "
        "next. The circuit was found for one question only: on other prompts the two may disagree."
    )
    texts = _tokens(view, tokenizer)
    state.search_field(view)
    if texts is not None:
        look(view, texts, tokenizer)


def look(view: LiveView, texts: Sequence[Sequence[int]], tokenizer: Tokenizer) -> None:
    shown = among("What to show", (_NEXT, _LOSSES, _NODES, _ON), _LOOK)
    if shown == _ON:
        continuation.section(view, texts, tokenizer)
        return
    found = [readings.read(view, ids) for ids in texts]
    if shown == _LOSSES:
        readings.token_by_token(found, tokenizer)
    elif shown == _NODES:
        active_nodes.section(view, found, tokenizer)
    else:
        answers = prompts.answer_pair(view.experiment, tokenizer)
        readings.next_tokens(found, tokenizer, answers)
        if len(found) > 1:
            readings.table_of_pair(found, answers, tokenizer)


def _tokens(view: LiveView, tokenizer: Tokenizer) -> list[Sequence[int]] | None:
    """The tokens of each text; None as long as one of them cannot be run."""
    texts = prompts.texts_field(view.experiment, tokenizer)
    found = []
    for number, text in enumerate(texts):
        ids = tokenizer.encode(text)
        found.append(prompts.fitting(ids, view.config.block_size, tokenizer, str(number or "")))
    return None if any(ids is None for ids in found) else found


circuit_page("Your prompt", page)
