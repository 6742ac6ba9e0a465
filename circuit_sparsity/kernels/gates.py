"""Gates in front of the channels of panels, forward and backward in one pass each.

64 channels at a time: that is a page of each panel, and their sums stay near.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from circuit_sparsity.kernels.compiled import kernel
from circuit_sparsity.kernels.norm import flat
from circuit_sparsity.kernels.threads import run_parts, split
from circuit_sparsity.kernels.vector import (
    add,
    largest,
    load,
    multiply,
    multiply_add,
    number,
    spread,
    store,
    subtract,
)

LANES = 16
_LEAST_ENTRIES = 131_072  # per thread

GateOp = Callable[[Tensor, Tensor, Tensor], Tensor]


@kernel
def _fill(x, gate, mean, panels, channels, out, begin, end):
    """x where the gate is 1, the mean where it is 0, for the channels begin..end."""
    for first in range(begin, end, 64):
        last = min(first + 64, end)
        for panel in range(panels):
            for channel in range(first, last):
                at, share = (panel * channels + channel) * 16, number(gate, channel)
                if share == 1.0:
                    store(out, at, load(x, at))
                else:
                    held = spread(mean, channel)
                    store(out, at, multiply_add(subtract(load(x, at), held), share, held))


@kernel
def _fill_back(x, gate, mean, grad, panels, channels, out, to_gate, begin, end):
    for first in range(begin, end, 64):
        last = min(first + 64, end)
        for panel in range(panels):
            for channel in range(first, last):
                at, sum_at = (panel * channels + channel) * 16, channel * 16
                slope, value = load(grad, at), subtract(load(x, at), spread(mean, channel))
                store(to_gate, sum_at, multiply_add(slope, value, load(to_gate, sum_at)))
                store(out, at, multiply(slope, spread(gate, channel)))


@kernel
def _score_back(x, mean, grad, panels, channels, to_gate, begin, end):
    for first in range(begin, end, 64):
        last = min(first + 64, end)
        for panel in range(panels):
            for channel in range(first, last):
                at, sum_at = (panel * channels + channel) * 16, channel * 16
                effect = multiply(load(grad, at), subtract(load(x, at), spread(mean, channel)))
                size = largest(effect, multiply(effect, -1.0))
                store(to_gate, sum_at, add(load(to_gate, sum_at), size))


def _over_channels(work: Callable[..., None], x: Tensor, *arrays: Any) -> None:
    channels, entries = x.shape[1], x.numel()
    least = _LEAST_ENTRIES * channels // max(entries, 1) + 1
    run_parts(lambda begin, end: work(*arrays, begin, end), split(channels, least))


class _Fill(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gate: Tensor, mean: Tensor) -> Tensor:
        x, out = x.contiguous(), torch.empty_like(x, memory_format=torch.contiguous_format)
        given = flat(x), flat(gate), flat(mean), *x.shape[:2], flat(out)
        _over_channels(_fill, x, *given)
        ctx.save_for_backward(x, gate, mean)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        x, gate, mean = ctx.saved_tensors
        grad, out = grads[0].contiguous(), torch.empty_like(x)
        to_gate = torch.zeros(x.shape[1], LANES)
        given = flat(x), flat(gate), flat(mean), flat(grad), *x.shape[:2], flat(out), flat(to_gate)
        _over_channels(_fill_back, x, *given)
        return out, to_gate.sum(dim=1), None


class _Score(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gate: Tensor, mean: Tensor) -> Tensor:
        ctx.save_for_backward(x.contiguous(), mean)
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        x, mean = ctx.saved_tensors
        grad, to_gate = grads[0].contiguous(), torch.zeros(x.shape[1], LANES)
        given = flat(x), flat(mean), flat(grad), *x.shape[:2], flat(to_gate)
        _over_channels(_score_back, x, *given)
        return grad, to_gate.sum(dim=1), None


def fill(
    x: Float[Tensor, "panels channels 16"],
    gate: Float[Tensor, " channels"],
    mean: Float[Tensor, " channels"],
) -> Float[Tensor, "panels channels 16"]:
    """mean + gate·(x - mean), exactly x or the mean where the gate is 1 or 0; with a gradient for
    x and for the gate.

    >>> fill(torch.ones(1, 2, 16), torch.tensor([1.0, 0.0]), torch.full((2,), 5.0))[0, :, 0]
    tensor([1., 5.])
    """
    return _Fill.apply(x, gate, mean)  # pyright: ignore[reportReturnType]


def score(
    x: Float[Tensor, "panels channels 16"],
    gate: Float[Tensor, " channels"],
    mean: Float[Tensor, " channels"],
) -> Float[Tensor, "panels channels 16"]:
    """x itself; what the gate gets for a gradient is the sum of \\|(x - mean)·gradient of x\\|."""
    return _Score.apply(x, gate, mean)  # pyright: ignore[reportReturnType]
