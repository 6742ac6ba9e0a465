"""What happens to every entry by itself, in one pass over panels, split like everything else here.

torch's own passes wait for all their threads at each operation; where other work shares the cores
that wait costs more than the pass.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from circuit_sparsity.sparse.activation import erf16, exp16, gelu16
from circuit_sparsity.sparse.compiled import kernel
from circuit_sparsity.sparse.norm import flat
from circuit_sparsity.sparse.threads import run_parts, split
from circuit_sparsity.sparse.vector import (
    add,
    keep_where_reaching,
    load,
    magnitude_bits,
    multiply,
    multiply_add,
    splat,
    store,
)

LANES = 16
_LEAST_ENTRIES = 131_072  # per thread


@kernel
def _add(x, y, out, begin, end):
    for at in range(begin * 16, end * 16, 16):
        store(out, at, add(load(x, at), load(y, at)))


@kernel
def _gelu(x, out, begin, end):
    for at in range(begin * 16, end * 16, 16):
        store(out, at, gelu16(load(x, at)))


@kernel
def _gelu_slope(x, grad, out, begin, end):
    """grad * (Phi(x) + x phi(x)), the normal distribution's integral and density."""
    for at in range(begin * 16, end * 16, 16):
        value = load(x, at)
        below = multiply_add(erf16(multiply(value, 0.7071067811865476)), 0.5, splat(0.5))
        density = multiply(exp16(multiply(multiply(value, value), -0.5)), 0.3989422804014327)
        store(out, at, multiply(load(grad, at), multiply_add(value, density, below)))


@kernel
def _where_kept(kept, grad, out, begin, end):
    least = splat(np.int32(1))
    for at in range(begin * 16, end * 16, 16):
        bits = magnitude_bits(load(kept, at))
        store(out, at, keep_where_reaching(load(grad, at), bits, least))


def _over(work: Callable[..., None], *given: Tensor) -> Tensor:
    out = torch.empty_like(given[0], memory_format=torch.contiguous_format)
    arrays = [flat(x) for x in (*given, out)]
    parts = split(out.numel() // LANES, _LEAST_ENTRIES // LANES)
    run_parts(lambda begin, end: work(*arrays, begin, end), parts)
    return out


def where_kept(kept: Tensor, grad: Tensor) -> Tensor:
    """``grad`` where ``kept`` is not zero."""
    return _over(_where_kept, kept, grad)


class _Gelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return _over(_gelu, x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return _over(_gelu_slope, x, grads[0])


class _Add(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        return _over(_add, x, y)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        return grads[0], grads[0]


def gelu_panels(x: Tensor) -> Tensor:
    """The exact GELU of panels.

    >>> gelu_panels(torch.ones(1, 1, 16))[0, 0, :2]
    tensor([0.8413, 0.8413])
    """
    return _Gelu.apply(x)  # pyright: ignore[reportReturnType]


def add_panels(x: Tensor, y: Tensor) -> Tensor:
    """The sum of two of the same shape."""
    return _Add.apply(x, y)  # pyright: ignore[reportReturnType]
