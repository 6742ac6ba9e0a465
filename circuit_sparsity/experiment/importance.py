"""How much every node of a model matters to a circuit, to first order, in one backward pass."""

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from circuit_sparsity.circuits.means import Means
from circuit_sparsity.core.hooks import Hook
from circuit_sparsity.core.model import GPT
from circuit_sparsity.core.names import Location
from circuit_sparsity.runtime.ablation import answer_logits
from circuit_sparsity.runtime.compiled.run import Prompts

_PROMPTS_AT_ONCE = 64


def first_order(
    model: GPT,
    alive: Mapping[Location, Bool[Tensor, " width"]],
    means: Means,
    prompts: Prompts,
) -> dict[Location, Float[Tensor, " width"]]:
    """By location and channel, the rise of the mean task loss in nats when that node is switched.

    A kept node is switched off (ablated), any other one is switched on (added): the activation
    less its mean, times the gradient of the loss, summed over positions and averaged over prompts,
    with the sign of the switch. An estimate: exact only for a change small enough.
    """
    gates = {place: mask.float().requires_grad_() for place, mask in alive.items()}
    hook, count = _gated(gates, means), len(prompts.last)
    found = {place: torch.zeros(len(mask)) for place, mask in alive.items()}
    for some in torch.arange(count).split(_PROMPTS_AT_ONCE):
        with torch.enable_grad():
            loss = _loss(model, prompts, some, hook)
            slopes = torch.autograd.grad(loss, list(gates.values()), allow_unused=True)
        for place, slope in zip(gates, slopes, strict=True):
            if slope is not None:
                found[place] += slope.cpu() / count
    return {place: torch.where(alive[place], -rise, rise) for place, rise in found.items()}


def _loss(model: GPT, prompts: Prompts, some: Tensor, hook: Hook) -> Float[Tensor, ""]:
    last, rows = prompts.last[some], torch.arange(len(some))
    tokens = prompts.tokens[some, : int(last.max()) + 1]
    logits = answer_logits(model, tokens, last, hook)
    margin = logits[rows, prompts.right[some]] - logits[rows, prompts.wrong[some]]
    return F.softplus(-margin).sum()


def _gated(gates: Mapping[Location, Tensor], means: Means) -> Hook:
    """Each channel runs where its gate is 1 and is held at its mean where it is 0."""
    named = {str(place): (gate, means.values[place]) for place, gate in gates.items()}

    def hook(name: str, x: Tensor) -> Tensor:
        if name not in named:
            return x
        gate, mean = named[name]
        return torch.lerp(mean.to(x).expand_as(x), x, gate.to(x).expand_as(x))

    return hook
