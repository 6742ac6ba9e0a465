"""Products of a compressed matrix with activations.

A row of the result is a sum of a few rows of the input, each as long as there are tokens: that runs
along memory. Tokens go in blocks of 16, four blocks at a time, so that the sums of a row stay in
registers. A block is a panel, or 16 tokens of a plain channels-by-tokens array; there the last
block is moved back to end with the last token, and what overlaps is computed twice.
"""

import ctypes
import sys
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor
from torch.nn import functional

from circuit_sparsity.kernels.compiled import kernel
from circuit_sparsity.kernels.elementwise import gelu16, gelu_panels, relu16
from circuit_sparsity.kernels.matrix import SparseMatrix
from circuit_sparsity.kernels.threads import run_parts, split
from circuit_sparsity.kernels.vector import load, multiply_add, number, splat, spread, store

_LARGE = 32 << 20  # above it the C library returns freed memory to the system at once
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def empty(*shape: int) -> Float32[Tensor, "..."]:
    """An uninitialised array, in large pages where it is large (numpy asks for them)."""
    if 4 * int(np.prod(shape)) <= _LARGE:
        return torch.empty(shape)
    return torch.from_numpy(np.empty(shape, np.float32))


def keep_freed_memory() -> bool:
    """Tell the C library to keep freed memory for the next array; False where it cannot.

    For a process that lives long and computes the same sizes again: a page server, a training run.
    """
    if sys.platform != "linux":
        return False
    try:
        change = ctypes.CDLL(None).mallopt
    except AttributeError:  # a C library other than glibc
        return False
    return all(change(what, 1 << 30) == 1 for what in (_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD))


Activation = Literal["none", "gelu", "relu"]
ACTIVATION_CODES: dict[str, int] = {"none": 0, "gelu": 1, "relu": 2}

LANES = 16
_LEAST_WORK = (
    400_000  # multiplications per thread below which a second one costs more than it saves
)


@kernel
def _finish(total, code):
    if code == 1:
        return gelu16(total)
    if code == 2:
        return relu16(total)
    return total


@kernel
def four_blocks(matrix, bias, x, at, step, y, to, to_step, code, begin, end):
    """Rows begin..end of the product for the blocks that start at at[i] in x and to[i] in y."""
    starts, columns, values = matrix
    at0, at1, at2, at3 = at
    to0, to1, to2, to3 = to
    for row in range(begin, end):
        a = b = c = d = splat(bias[row])
        for entry in range(number(starts, row), number(starts, row + 1)):
            value, offset = spread(values, entry), number(columns, entry) * step
            a = multiply_add(load(x, at0 + offset), value, a)
            b = multiply_add(load(x, at1 + offset), value, b)
            c = multiply_add(load(x, at2 + offset), value, c)
            d = multiply_add(load(x, at3 + offset), value, d)
        offset = row * to_step
        store(y, to0 + offset, _finish(a, code))
        store(y, to1 + offset, _finish(b, code))
        store(y, to2 + offset, _finish(c, code))
        store(y, to3 + offset, _finish(d, code))


@kernel
def one_block(matrix, bias, x, at, step, y, to, to_step, code, begin, end):
    """Rows begin..end of the product for the block that starts at ``at`` in x and ``to`` in y."""
    starts, columns, values = matrix
    for row in range(begin, end):
        total = splat(bias[row])
        for entry in range(number(starts, row), number(starts, row + 1)):
            total = multiply_add(
                load(x, at + number(columns, entry) * step), spread(values, entry), total
            )
        store(y, to + row * to_step, _finish(total, code))


@kernel
def _starts_at(layout, block):
    apart, _, last = layout
    return min(block * apart, last)


@kernel
def multiply(matrix, bias, x, x_layout, y, y_layout, blocks, code, begin, end):
    """Units begin..end of the list (blocks 0-3, row 0), (blocks 0-3, row 1) ... (blocks 4-7 ...).

    A layout is (from one block to the next, from one channel to the next, last block's start).
    """
    rows = matrix[0].size - 1
    step, to_step = x_layout[1], y_layout[1]
    for group in range(begin // rows, -(-end // rows)):
        first, last = max(begin - group * rows, 0), min(end - group * rows, rows)
        block = group * 4
        if block + 4 <= blocks:
            at = (
                _starts_at(x_layout, block),
                _starts_at(x_layout, block + 1),
                _starts_at(x_layout, block + 2),
                _starts_at(x_layout, block + 3),
            )
            to = (
                _starts_at(y_layout, block),
                _starts_at(y_layout, block + 1),
                _starts_at(y_layout, block + 2),
                _starts_at(y_layout, block + 3),
            )
            four_blocks(matrix, bias, x, at, step, y, to, to_step, code, first, last)
            continue
        for single in range(block, blocks):
            source, target = _starts_at(x_layout, single), _starts_at(y_layout, single)
            one_block(matrix, bias, x, source, step, y, target, to_step, code, first, last)


def _layout(shape: torch.Size, channels: int) -> tuple[int, int, int]:
    if len(shape) == 3:
        return channels * LANES, LANES, (shape[0] - 1) * channels * LANES
    return LANES, shape[1], shape[1] - LANES


def _product(x: Tensor, matrix: SparseMatrix, bias: Tensor | None, code: int) -> Tensor:
    rows = matrix.shape[0]
    if x.ndim == 2 and 0 < x.shape[1] < LANES:
        padded = functional.pad(x.detach(), (0, LANES - x.shape[1]))
        return _product(padded, matrix, bias, code)[:, : x.shape[1]].contiguous()
    out = empty(*x.shape[:-2], rows, x.shape[-1])
    if not out.numel():
        return out
    shift = torch.zeros(rows) if bias is None else bias.detach().contiguous()
    arrays = (matrix.starts.numpy(), matrix.columns.numpy(), matrix.values.numpy())
    source, target = x.detach().contiguous().view(-1).numpy(), out.view(-1).numpy()
    x_layout, y_layout = _layout(x.shape, matrix.shape[1]), _layout(x.shape, rows)
    blocks = len(x) if x.ndim == 3 else -(-x.shape[1] // LANES)

    def work(begin: int, end: int) -> None:
        multiply(
            arrays, shift.numpy(), source, x_layout, target, y_layout, blocks, code, begin, end
        )

    units = rows * -(-blocks // 4)
    cost = (matrix.nonzero + 4 * rows) * blocks * LANES // units + 1
    run_parts(work, split(units, _LEAST_WORK // cost))
    return out


class _SparseProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, matrix: SparseMatrix, bias: Tensor | None) -> Tensor:
        ctx.matrix = matrix
        return _product(x, matrix, bias, 0)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return sparse_linear(grads[0], ctx.matrix.transposed), None, None


def _check(x: Tensor, matrix: SparseMatrix, bias: Tensor | None) -> None:
    if x.device.type != "cpu" or x.dtype is not torch.float32:
        raise ValueError(
            f"sparse_linear: got {x.dtype} on {x.device}; it computes float32 on a CPU. "
            "Use the dense weights elsewhere"
        )
    if (
        x.ndim not in (2, 3)
        or x.shape[-2] != matrix.shape[1]
        or (x.ndim == 3) > (x.shape[-1] == 16)
    ):
        raise ValueError(
            f"sparse_linear: the input has shape {tuple(x.shape)}, the matrix {matrix.shape} takes "
            f"({matrix.shape[1]}, tokens) or (panels, {matrix.shape[1]}, 16)"
        )
    if bias is not None and bias.shape != (matrix.shape[0],):
        raise ValueError(
            f"sparse_linear: the bias has shape {tuple(bias.shape)}, not ({matrix.shape[0]},)"
        )
    if bias is not None and bias.requires_grad and torch.is_grad_enabled():
        raise ValueError(
            "sparse_linear: the bias asks for a gradient, but weights are fixed here; detach it"
        )


def sparse_linear(
    x: Float[Tensor, "*panels channels_in tokens"],
    matrix: SparseMatrix,
    bias: Float[Tensor, " channels_out"] | None = None,
    activation: Activation = "none",
) -> Float[Tensor, "*panels channels_out tokens"]:
    """activation(matrix @ x + bias), with a gradient for ``x`` and none for the weights.

    Input and result are channels by tokens, or panels (see ``to_panels``): those are twice as fast
    from a few hundred tokens on.

    >>> matrix = SparseMatrix.from_dense(torch.tensor([[0.0, 2.0], [0.0, 0.0]]))
    >>> sparse_linear(torch.tensor([[1.0], [3.0]]), matrix, torch.tensor([0.5, 0.25]))
    tensor([[6.5000],
            [0.2500]])
    """
    _check(x, matrix, bias)
    if not (x.requires_grad and torch.is_grad_enabled()):
        return _product(x, matrix, bias, ACTIVATION_CODES[activation])
    out = _SparseProduct.apply(x, matrix, bias)
    if activation == "gelu" and x.ndim == 3:
        return gelu_panels(out)  # pyright: ignore[reportArgumentType]
    if activation == "gelu":
        return functional.gelu(out)  # pyright: ignore[reportArgumentType]
    return functional.relu(out) if activation == "relu" else out  # pyright: ignore
