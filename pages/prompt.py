"""One's own text or a minimal pair: as model, circuit and ablated circuit read it."""

from collections.abc import Sequence

import streamlit as st

from circuit_sparsity.core.tokenizer import Tokenizer
from circuit_sparsity.ui.circuit import table
from circuit_sparsity.ui.prompt import active_nodes, readings
from circuit_sparsity.ui.prompt import continuation as continuing
from circuit_sparsity.ui.shell import cached, fetching, messages, pickers, prompts, state
from circuit_sparsity.ui.shell.cached import Scene
from circuit_sparsity.ui.shell.choices import among

_LOOK = "look"
_NEXT, _LOSSES, _NODES, _ON = "Next token", "Token by token", "Nodes", "Continue it"


def page() -> None:
    choice = pickers.chosen()
    if choice is None:
        messages.no_circuits(pickers.chosen_model())
        return
    pickers.link_trouble()
    if not fetching.ready(choice):
        return
    scene = cached.scene(choice)
    tokenizer = cached.tokenizer(choice.model)
    state.prepare(scene)
    messages.unknown_nodes(state.unknown_nodes(), scene.circuit.title)
    st.markdown(
        "Write the beginning of a program; the model and its circuit say which token they expect "
        "next. The circuit was found for one question only: elsewhere the two may part."
    )
    texts = _tokens(scene, tokenizer)
    table.search_field(scene)
    if texts is not None:
        look(scene, texts, tokenizer)


def look(scene: Scene, texts: Sequence[Sequence[int]], tokenizer: Tokenizer) -> None:
    view = among("What to see", (_NEXT, _LOSSES, _NODES, _ON), _LOOK)
    if view == _ON:
        continuing.section(scene, texts, tokenizer)
        return
    found = [readings.read(scene, ids) for ids in texts]
    if view == _LOSSES:
        readings.token_by_token(found, tokenizer)
    elif view == _NODES:
        active_nodes.section(scene, found, tokenizer)
    else:
        answers = prompts.answer_pair(scene.experiment, tokenizer)
        readings.next_tokens(found, tokenizer, answers)
        if len(found) > 1:
            readings.table_of_pair(found, answers, tokenizer)


def _tokens(scene: Scene, tokenizer: Tokenizer) -> list[Sequence[int]] | None:
    """The tokens of each text; None as long as one of them cannot be run."""
    texts = prompts.texts_field(scene.experiment, tokenizer)
    context, found = scene.config.block_size, []
    for number, text in enumerate(texts):
        ids = tokenizer.encode(text)
        found.append(prompts.fitting(ids, context, tokenizer, str(number or "")))
    return None if any(ids is None for ids in found) else found


st.title("Your prompt")
with messages.in_place():
    page()
