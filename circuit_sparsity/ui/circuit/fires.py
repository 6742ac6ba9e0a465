"""Beside the graph: on what the node that is looked at fires, over prompts of the task."""

from collections.abc import Mapping, Sequence

import streamlit as st
import torch

from circuit_sparsity.core.hooks import no_hook
from circuit_sparsity.core.names import Node
from circuit_sparsity.core.tokenizer import Tokenizer
from circuit_sparsity.nodes import firing
from circuit_sparsity.plots.colours import palette
from circuit_sparsity.plots.fires import Firing, fires_html
from circuit_sparsity.runtime.activations import node_activations
from circuit_sparsity.store import Store
from circuit_sparsity.ui.shell import cached
from circuit_sparsity.ui.shell.cached import LiveView
from circuit_sparsity.ui.shell.shared import shared

_PROMPTS, _FEWER = 128, 16  # that every node of a circuit, or of a large one, is measured on
_LARGE = 400  # nodes
_TEXTS, _BEFORE, _AFTER = 3, 6, 2  # texts shown, and tokens of each around the one that counts


def section(view: LiveView, node: Node) -> None:
    """A histogram of the node's activations, and the prompts on which it stands out most."""
    if Store.from_environment().path_of_tokenizer(view.choice.model) is None:
        return
    found = activity(view)[node]
    texts = _texts(found, cached.tokenizer(view.choice.model))
    st.html(fires_html(found.counts, texts, palette(st.context.theme.type)))
    st.caption(f"In the whole model, on {len(found.tokens)} of the task's prompts.")


def activity(view: LiveView) -> Mapping[Node, firing.Firing]:
    """Activations of every kept node in the whole model, over prompts of the task."""
    return _activity(view, cached.identity(view))


@shared("Running the prompts …")
def _activity(_view: LiveView, identity: int) -> Mapping[Node, firing.Firing]:
    experiment, nodes = _view.experiment, _view.circuit.node_list
    prompts = _PROMPTS if len(nodes) <= _LARGE else _FEWER
    some = experiment.batch.select(range(min(prompts // 2, experiment.batch.n_pairs)))
    found = node_activations(experiment.model, nodes, some.tokens, no_hook)
    real = torch.arange(some.tokens.shape[1]) <= some.last[:, None]
    return {node: firing.Firing(some.tokens, found[node].float(), real) for node in nodes}


def _texts(found: firing.Firing, tokenizer: Tokenizer) -> Sequence[Firing]:
    """The tokens furthest from the node's mean, one a prompt and each token once."""
    assert found.real is not None
    apart = (found.activations - found.mean).abs().masked_fill(~found.real, -1.0)
    texts: list[Firing] = []
    seen: set[int] = set()
    for prompt in apart.max(dim=1).values.argsort(descending=True, stable=True).tolist():
        place = int(apart[prompt].argmax())
        ids = found.tokens[prompt][found.real[prompt]].tolist()
        if ids[place] in seen or float(apart[prompt, place]) <= 0:
            continue
        seen.add(ids[place])
        shown = [tokenizer.token_bytes(token) for token in ids]
        texts.append(
            Firing(
                shown[max(0, place - _BEFORE) : place],
                shown[place],
                shown[place + 1 : place + 1 + _AFTER],
                float(found.activations[prompt, place]),
            )
        )
        if len(texts) == _TEXTS:
            break
    return texts
