"""RMSNorm and LayerNorm over the channels of panels, with what is read beside them."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from circuit_sparsity.kernels.compiled import kernel
from circuit_sparsity.kernels.threads import run_parts, split
from circuit_sparsity.kernels.vector import (
    add,
    divide,
    load,
    multiply,
    multiply_add,
    root,
    splat,
    store,
    subtract,
)

LANES = 16
_LEAST_ENTRIES = 65_536  # per thread


@kernel
def _moments(x, at, rows, centred, epsilon):
    """Mean (0 where not centred) and inverse deviation of the sixteen tokens of a panel."""
    mean = splat(0.0)
    if centred:
        for row in range(rows):
            mean = add(mean, load(x, at + row * 16))
        mean = divide(mean, np.float32(rows))
    square = splat(0.0)
    for row in range(rows):
        value = subtract(load(x, at + row * 16), mean)
        square = multiply_add(value, value, square)
    return mean, divide(1.0, root(add(divide(square, np.float32(rows)), epsilon)))


@kernel
def norm_panel(x, at, rows, gain, bias, centred, epsilon, out, to):
    """One panel; its moments are returned."""
    mean, inverse = _moments(x, at, rows, centred, epsilon)
    for row in range(rows):
        value = multiply(subtract(load(x, at + row * 16), mean), inverse)
        store(out, to + row * 16, multiply_add(value, gain[row], splat(bias[row])))
    return mean, inverse


@kernel
def _forward(x, rows, gain, bias, centred, epsilon, beside, beside_rows, out, moments, begin, end):
    wide = rows + beside_rows
    for panel in range(begin, end):
        to = panel * wide * 16
        mean, inverse = norm_panel(
            x, panel * rows * 16, rows, gain, bias, centred, epsilon, out, to
        )
        store(moments, panel * 32, mean)
        store(moments, panel * 32 + 16, inverse)
        for row in range(beside_rows):
            value = load(beside, (panel * beside_rows + row) * 16)
            store(out, to + (rows + row) * 16, value)


@kernel
def _backward(x, rows, gain, centred, moments, grad, grad_rows, out, begin, end):
    share = np.float32(1.0 / rows)
    for panel in range(begin, end):
        mean, inverse = load(moments, panel * 32), load(moments, panel * 32 + 16)
        at, above = panel * rows * 16, panel * grad_rows * 16
        along, total = splat(0.0), splat(0.0)
        for row in range(rows):
            slope = multiply(load(grad, above + row * 16), gain[row])
            value = multiply(subtract(load(x, at + row * 16), mean), inverse)
            along = multiply_add(slope, value, along)
            total = add(total, slope)
        along = multiply(along, share)
        total = multiply(total, share) if centred else splat(0.0)
        for row in range(rows):
            slope = multiply(load(grad, above + row * 16), gain[row])
            value = multiply(subtract(load(x, at + row * 16), mean), inverse)
            rest = subtract(subtract(slope, total), multiply(value, along))
            store(out, at + row * 16, multiply(rest, inverse))


def flat(x: Tensor) -> np.ndarray:
    """The numbers of a tensor as kernels take them."""
    return x.detach().contiguous().view(-1).numpy()


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        gain: Tensor,
        bias: Tensor,
        centred: bool,
        epsilon: float,
        beside: Tensor,
    ) -> Tensor:
        panels, rows = x.shape[:2]
        wide = rows + beside.shape[1]
        out, moments = torch.empty(panels, wide, LANES), torch.empty(panels, 2, LANES)
        given = flat(x), rows, flat(gain), flat(bias), centred, np.float32(epsilon)
        given = *given, flat(beside), wide - rows, flat(out), flat(moments)
        run_parts(
            lambda begin, end: _forward(*given, begin, end),
            split(panels, _LEAST_ENTRIES // (wide * LANES)),
        )
        ctx.save_for_backward(x, gain, moments)
        ctx.centred = centred
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, gain, moments = ctx.saved_tensors
        panels, rows = x.shape[:2]
        out = torch.empty_like(x)
        given = flat(x), rows, flat(gain), ctx.centred, flat(moments)
        given = *given, flat(grads[0]), grads[0].shape[1], flat(out)
        run_parts(
            lambda begin, end: _backward(*given, begin, end),
            split(panels, _LEAST_ENTRIES // (rows * LANES)),
        )
        return out, None, None, None, None, None


def norm_panels(
    x: Float[Tensor, "panels channels 16"],
    gain: Float[Tensor, " channels"],
    bias: Float[Tensor, " channels"] | None = None,
    *,
    centred: bool = False,
    epsilon: float | None = None,
    beside: Float[Tensor, "panels more 16"] | None = None,
) -> Float[Tensor, "panels wide 16"]:
    """RMSNorm, or LayerNorm where ``centred``, with the channels of ``beside`` after it.

    There is a gradient for ``x`` and none for the weights.

    >>> norm_panels(torch.full((1, 2, 16), 3.0), torch.tensor([1.0, 2.0]))[0, :, 0]
    tensor([1., 2.])
    """
    shift = torch.zeros_like(gain) if bias is None else bias
    more = x.new_empty(len(x), 0, LANES) if beside is None else beside
    epsilon = torch.finfo(torch.float32).eps if epsilon is None else epsilon
    return _Norm.apply(x.contiguous(), gain, shift, centred, epsilon, more)  # pyright: ignore
