"""Gates in front of every node: on or off forward, smooth backward."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from circuit_sparsity.hooks import Hook


def gate_slope(tau: Float[Tensor, " node"], temperature: float) -> Float[Tensor, " node"]:
    """What stands in for the derivative of the gate ``tau >= 0``: s(1 - s)/T, s = sigmoid(tau/T).

    >>> gate_slope(torch.zeros(1), 0.5)
    tensor([0.5000])
    """
    s = torch.sigmoid(tau / temperature)
    return s * (1 - s) / temperature


class _Fill(torch.autograd.Function):
    """x where the gate is 1 and the mean where it is 0, with a gradient for the gate."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gate: Tensor, mean: Tensor) -> Tensor:
        gate, mean = gate.to(x.dtype), mean.to(x.dtype)
        deviation = x - mean
        ctx.save_for_backward(deviation, gate)
        return torch.addcmul(mean, deviation, gate)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor, None]:
        (grad,) = grads
        deviation, gate = ctx.saved_tensors
        to_gate = (grad * deviation).flatten(0, -2).sum(dim=0, dtype=torch.float32)
        return (grad * gate if ctx.needs_input_grad[0] else None), to_gate, None


def gated(gates: dict[str, Tensor], means: dict[str, Tensor]) -> Hook:
    """A hook that fills each named place by its gate; its gradient reaches the gates."""

    def hook(name: str, x: Tensor) -> Tensor:
        gate = gates.get(name)
        return x if gate is None else _Fill.apply(x, gate, means[name])

    return hook


def filled(kept: dict[str, Tensor], means: dict[str, Tensor]) -> Hook:
    """A hook that keeps x where ``kept`` and puts the mean elsewhere, exactly as circuits run."""

    def hook(name: str, x: Tensor) -> Tensor:
        return torch.where(kept[name], x, means[name]) if name in kept else x

    return hook
