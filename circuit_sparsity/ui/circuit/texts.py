"""Words on the circuit page: how the circuit works, and the texts on which a node fires."""

from collections.abc import Sequence

import streamlit as st
import torch

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.core.names import Node
from circuit_sparsity.core.tokenizer import Tokenizer
from circuit_sparsity.explained.account import account_of
from circuit_sparsity.plots.words import signed
from circuit_sparsity.release import TaskSamples, last_tokens
from circuit_sparsity.store import Store
from circuit_sparsity.ui.shell import cached, state, strips
from circuit_sparsity.ui.shell.cached import STORED_HELP, StoredView
from circuit_sparsity.ui.shell.fields import among, pair_field
from circuit_sparsity.ui.shell.messages import plain
from circuit_sparsity.ui.shell.pickers import Choice
from circuit_sparsity.ui.shell.strips import Strip

_PROMPTS, _DOCUMENTS = "Task prompts", "Pretraining text"
_MODEL, _CIRCUIT = "Whole model", "Circuit alone"
_CLASSES_HELP = (
    "The task's prompts come in pairs that differ in what decides the answer: class 1 and class 2. "
    "The difference is class 1 minus class 2 at the same position."
)


def of_picked_node(choice: Choice) -> None:
    """The last picked node on the file's prompts and documents; says how to pick when none is."""
    view = cached.stored(choice)
    node = state.node_in_view(view)
    st.markdown("##### Where a node fires", help=STORED_HELP)
    if node is None:
        st.caption("Click a node to see its activation on the stored texts here, token by token.")
        return
    has_tokenizer = Store.from_environment().path_of_tokenizer(choice.model) is not None
    tokenizer = cached.tokenizer(choice.model) if has_tokenizer else None
    st.markdown(f"`{node}`")
    source = among("Text to read", (_PROMPTS, _DOCUMENTS), "texts_source")
    if source == _DOCUMENTS:
        found, largest = strips.stored_documents(view, node)
        strips.draw(found, tokenizer, largest)
    else:
        _prompts(view, node, tokenizer)


def _prompts(view: StoredView, node: Node, tokenizer: Tokenizer | None) -> None:
    both = {_MODEL: view.stored.task_samples, _CIRCUIT: view.stored.task_samples_circuit}
    pairs = len(both[_MODEL].tokens) // 2
    if pairs == 0 or any(node not in samples.activations for samples in both.values()):
        st.info(f"The file holds no prompts for {plain(str(node))}.", icon=":material/info:")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        samples = both[among("Activations in", list(both), "texts_run")]
        pair = pair_field(pairs, "texts_pair")
    largest = max(_largest(of_run, node) for of_run in both.values())
    st.caption(_at_the_end(samples, node), help=_CLASSES_HELP)
    strips.draw(_pair(samples, node, pair - 1), tokenizer, largest)


def _largest(samples: TaskSamples, node: Node) -> float:
    """Of all prompts and all differences of a pair, so that every pair is on one scale."""
    values, last = samples.activations[node], last_tokens(samples.tokens)
    values = values * (torch.arange(values.shape[1]) <= last[:, None])  # padding is no text
    half = len(values) // 2
    apart = values[:half] - values[half:]
    shared = torch.minimum(last[:half], last[half:])[:, None]
    apart = apart * (torch.arange(values.shape[1]) <= shared)
    return float(torch.cat((values, apart)).abs().max())


def _at_the_end(samples: TaskSamples, node: Node) -> str:
    last = last_tokens(samples.tokens)
    ends = samples.activations[node][torch.arange(len(last)), last]
    half = len(last) // 2
    one, two = float(ends[:half].mean()), float(ends[half:].mean())
    return (
        f"At the last token, where the answer is read, mean over {half} prompts a class, stored: "
        f"class 1 {signed(one)}, class 2 {signed(two)}, difference {signed(one - two)}."
    )


def _pair(samples: TaskSamples, node: Node, pair: int) -> list[Strip]:
    rows = (pair, pair + len(samples.tokens) // 2)
    ends = [int(end) + 1 for end in last_tokens(samples.tokens[list(rows)])]
    texts = [samples.tokens[row, :end].tolist() for row, end in zip(rows, ends, strict=True)]
    values = [
        samples.activations[node][row, :end].tolist() for row, end in zip(rows, ends, strict=True)
    ]
    strips = [
        Strip(f"Class {number}, stored", text, of, len(text) - 1)
        for number, (text, of) in enumerate(zip(texts, values, strict=True), start=1)
    ]
    return [*strips, _difference(texts, values)]


def _difference(texts: Sequence[Sequence[int]], values: Sequence[Sequence[float]]) -> Strip:
    """Class 1 minus class 2, on the tokens of class 1, as far as both go."""
    apart = [one - two for one, two in zip(*values, strict=False)]
    return Strip("Difference, class 1 − class 2", texts[0][: len(apart)], apart)


_MEASURED = (
    "Measured on the circuits that ship, and measured again by the project's tests: a mark such "
    "as [Q4] names the test. Type a node's name into “Switched off” to try it yourself."
)
_WIDTH = 820  # pixels: lines that an eye can follow


def account(circuit: Circuit) -> None:
    """The account of ``circuit``, folded; nothing where there is none."""
    found = account_of(circuit)
    if found is None:
        return
    with st.expander("How this circuit works", icon=":material/menu_book:"):
        st.markdown(found, width=_WIDTH)
        st.caption(_MEASURED, width=_WIDTH)
