"""What happens to every entry by itself, in one pass over panels, split like everything else here.

torch's own passes wait for all their threads at each operation; where other work shares the cores
that wait costs more than the pass.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from circuit_sparsity.kernels.compiled import kernel
from circuit_sparsity.kernels.norm import flat
from circuit_sparsity.kernels.threads import run_parts, split
from circuit_sparsity.kernels.vector import (
    add,
    bits_of,
    divide,
    keep_where_reaching,
    largest,
    load,
    magnitude_bits,
    multiply,
    multiply_add,
    scale_by_power,
    smallest,
    splat,
    store,
    subtract,
)

_ROUNDER = 12_582_912.0  # 1.5 * 2**23: adding it leaves an integer in the low bits of the sum
_ROUNDER_BITS = 0x4B400000


@kernel
def exp16(x):
    """e**x to 2e-7 of itself; x is held between -87.3 (1e-38) and 88 (2e38)."""
    x = largest(smallest(x, 88.0), -87.3)
    shifted = multiply_add(x, 1.4426950408889634, _ROUNDER)
    whole = subtract(shifted, _ROUNDER)
    rest = multiply_add(whole, -0.693359375, x)
    rest = multiply_add(whole, 2.12194440e-4, rest)
    value = multiply_add(rest, 1.9875691500e-4, 1.3981999507e-3)
    value = multiply_add(value, rest, 8.3334519073e-3)
    value = multiply_add(value, rest, 4.1665795894e-2)
    value = multiply_add(value, rest, 1.6666665459e-1)
    value = multiply_add(value, rest, 5.0000001201e-1)
    value = multiply_add(multiply(value, rest), rest, add(rest, 1.0))
    return scale_by_power(value, subtract(bits_of(shifted), _ROUNDER_BITS))


@kernel
def erf16(x):
    """The error function, to 4e-7, as a quotient of polynomials in x * x."""
    x = largest(smallest(x, 4.0), -4.0)
    square = multiply(x, x)
    top = multiply_add(square, -2.72614225801306e-10, 2.77068142495902e-08)
    top = multiply_add(top, square, -2.10102402082508e-06)
    top = multiply_add(top, square, -5.69250639462346e-05)
    top = multiply_add(top, square, -7.34990630326855e-04)
    top = multiply_add(top, square, -2.95459980854025e-03)
    top = multiply_add(top, square, -1.60960333262415e-02)
    bottom = multiply_add(square, -1.45660718464996e-05, -2.13374055278905e-04)
    bottom = multiply_add(bottom, square, -1.68282697438203e-03)
    bottom = multiply_add(bottom, square, -7.37332916720468e-03)
    bottom = multiply_add(bottom, square, -1.42647390514189e-02)
    return divide(multiply(x, top), bottom)


@kernel
def gelu16(x):
    """x * (1 + erf(x / sqrt(2))) / 2, the exact GELU."""
    half = multiply(x, 0.5)
    return multiply_add(half, erf16(multiply(x, 0.7071067811865476)), half)


@kernel
def relu16(x):
    return largest(x, splat(0.0))


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
