"""The activations of a few nodes, without keeping those of all the others."""

from collections import defaultdict
from collections.abc import Iterable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuit_sparsity.core.hooks import Hook, chain, no_hook, with_names
from circuit_sparsity.core.model import GPT
from circuit_sparsity.core.names import Node


@torch.no_grad()
def node_activations(
    model: GPT,
    nodes: Iterable[Node],
    tokens: Int[Tensor, "prompt pos"],
    hook: Hook = no_hook,
) -> dict[Node, Float[Tensor, "prompt pos"]]:
    """Each node's activation on every token, as it is after ``hook``.

    Blocks behind the last node's are not run.
    """
    wanted: dict[str, list[Node]] = defaultdict(list)
    for node in nodes:
        wanted[str(node.location)].append(node)
    layers = [node.location.layer for group in wanted.values() for node in group]
    known = [layer for layer in layers if layer is not None]
    blocks = max(known, default=0) + 1 if len(known) == len(layers) else None
    found: dict[Node, Tensor] = {}

    def take(name: str, x: Tensor) -> Tensor:
        for node in wanted.get(name, ()):
            found[node] = x[..., node.channel].clone()
        return x

    model.residual(tokens, chain(hook, with_names(take, wanted)), blocks)
    return {node: found[node] for group in wanted.values() for node in group}
