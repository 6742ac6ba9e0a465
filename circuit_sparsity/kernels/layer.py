"""A whole layer in three passes over panels, for runs that nobody watches.

[norm, top-k, c_attn, top-k] of four panels after each other while they are near, then attention
over the heads that are read, then [c_proj, top-k, add, norm, top-k, c_fc, top-k, c_proj, top-k,
add]. The same kernels in the same order as one by one, so the numbers are the same to the bit.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int32
from torch import Tensor

from circuit_sparsity.kernels.attention import attend_panels
from circuit_sparsity.kernels.compiled import kernel
from circuit_sparsity.kernels.matrix import SparseMatrix
from circuit_sparsity.kernels.norm import flat, norm_panel
from circuit_sparsity.kernels.product import ACTIVATION_CODES, Activation, four_blocks, one_block
from circuit_sparsity.kernels.threads import run_parts, split
from circuit_sparsity.kernels.topk_channels import keep_top
from circuit_sparsity.kernels.vector import add, largest, load, splat, store

LANES = 16
_TOGETHER = 4  # panels: what the product takes at once


class Map(NamedTuple):
    """A compressed matrix, its bias, and how many channels of the result survive (-1: all)."""

    matrix: tuple[np.ndarray, np.ndarray, np.ndarray]
    bias: np.ndarray
    rows: int
    kept: int


class Read(NamedTuple):
    """A norm of the residual stream and how many of the channels read survive (-1: all)."""

    gain: np.ndarray
    bias: np.ndarray
    centred: bool
    epsilon: np.float32
    kept: int


class Write(NamedTuple):
    """What happens to the residual stream after it was added to."""

    relu: bool
    kept: int


def as_map(matrix: SparseMatrix, bias: Tensor | None, kept: int | None) -> Map:
    rows = matrix.shape[0]
    shift = torch.zeros(rows) if bias is None else bias
    arrays = (matrix.starts.numpy(), matrix.columns.numpy(), matrix.values.numpy())
    return Map(arrays, flat(shift), rows, as_kept(kept, rows))


def as_kept(kept: int | None, channels: int) -> int:
    """The -1 that kernels take where everything survives."""
    return -1 if kept is None or kept >= channels else kept


@dataclass(frozen=True, eq=False)
class Layer:
    """Everything a layer's kernels read."""

    channels: int
    n_head: int
    heads: Int32[Tensor, " live"] | None  # that are read; None: all
    sink: Float[Tensor, " head"] | None
    read_attention: Read
    q: Map
    k: Map
    v: Map
    from_heads: Map
    after_attention: Write
    read_mlp: Read
    into_neurons: Map
    activation: Activation
    from_neurons: Map
    after_mlp: Write


@kernel
def _cut(x, at, rows, kept, panels):
    for panel in range(panels):
        if kept > 0:
            keep_top(x, x, at + panel * rows * 16, rows, kept)
        elif kept == 0:
            x[at + panel * rows * 16 : at + (panel + 1) * rows * 16] = 0


@kernel
def _read(x, channels, first, panels, norm, beside, more, out):
    wide = channels + more
    for panel in range(panels):
        to = panel * wide * 16
        norm_panel(
            x,
            (first + panel) * channels * 16,
            channels,
            norm.gain,
            norm.bias,
            norm.centred,
            norm.epsilon,
            out,
            to,
        )
        for row in range(more):
            value = load(beside, ((first + panel) * more + row) * 16)
            store(out, to + (channels + row) * 16, value)
    _cut(out, 0, wide, norm.kept, panels)


@kernel
def _apply(linear, x, x_from, columns, y, y_from, panels, code):
    """The map of panels that lie one after the other, and its top-k."""
    step, to_step = columns * 16, linear.rows * 16
    if panels == 4:
        at = (x_from, x_from + step, x_from + 2 * step, x_from + 3 * step)
        to = (y_from, y_from + to_step, y_from + 2 * to_step, y_from + 3 * to_step)
        four_blocks(linear.matrix, linear.bias, x, at, 16, y, to, 16, code, 0, linear.rows)
    else:
        for panel in range(panels):
            at_one, to_one = x_from + panel * step, y_from + panel * to_step
            one_block(
                linear.matrix, linear.bias, x, at_one, 16, y, to_one, 16, code, 0, linear.rows
            )
    _cut(y, y_from, linear.rows, linear.kept, panels)


@kernel
def _write(x, at, delta, channels, panels, after):
    for row in range(channels * panels):
        value = add(load(x, at + row * 16), load(delta, row * 16))
        store(x, at + row * 16, largest(value, splat(0.0)) if after.relu else value)
    _cut(x, at, channels, after.kept, panels)


@kernel
def _start(x, channels, norm, beside, more, to_q, to_k, to_v, q, k, v, begin, end):
    wide = channels + more
    read = np.empty(4 * wide * 16, np.float32)
    for first in range(begin, end, 4):
        panels = min(4, end - first)
        _read(x, channels, first, panels, norm, beside, more, read)
        _apply(to_q, read, 0, wide, q, first * to_q.rows * 16, panels, 0)
        _apply(to_k, read, 0, wide, k, first * to_k.rows * 16, panels, 0)
        _apply(to_v, read, 0, wide, v, first * to_v.rows * 16, panels, 0)


@kernel
def _end(
    y,
    width,
    x,
    channels,
    from_heads,
    after_attention,
    norm,
    beside,
    more,
    into_neurons,
    code,
    from_neurons,
    after_mlp,
    begin,
    end,
):
    wide = channels + more
    delta, read = np.empty(4 * channels * 16, np.float32), np.empty(4 * wide * 16, np.float32)
    neurons = np.empty(4 * into_neurons.rows * 16, np.float32)
    for first in range(begin, end, 4):
        panels, at = min(4, end - first), first * channels * 16
        _apply(from_heads, y, first * width * 16, width, delta, 0, panels, 0)
        _write(x, at, delta, channels, panels, after_attention)
        _read(x, channels, first, panels, norm, beside, more, read)
        _apply(into_neurons, read, 0, wide, neurons, 0, panels, code)
        _apply(from_neurons, neurons, 0, into_neurons.rows, delta, 0, panels, 0)
        _write(x, at, delta, channels, panels, after_mlp)


def run_layer(
    layer: Layer,
    x: Float[Tensor, "panels channels 16"],
    beside: tuple[Float[Tensor, "panels more 16"], Float[Tensor, "panels more 16"]],
    bounds: Int32[Tensor, "start_and_end token"],
) -> None:
    """Turn the input of a layer into its output, in ``x``; ``beside`` lies next to what is read."""
    panels, more = len(x), beside[0].shape[1]
    parts = [(4 * a, min(4 * b, panels)) for a, b in split(-(-panels // _TOGETHER), 1)]
    q, k, v = (torch.empty(panels, part.rows, LANES) for part in (layer.q, layer.k, layer.v))
    source, three = flat(x), (flat(q), flat(k), flat(v))
    maps = layer.q, layer.k, layer.v
    start = (source, layer.channels, layer.read_attention, flat(beside[0]), more, *maps, *three)
    run_parts(lambda a, b: _start(*start, a, b), parts)
    y = attend_panels(q, k, v, layer.sink, bounds, layer.n_head, layer.heads)
    end = (flat(y), layer.v.rows, source, layer.channels, layer.from_heads, layer.after_attention)
    end = (*end, layer.read_mlp, flat(beside[1]), more, layer.into_neurons)
    end = (*end, ACTIVATION_CODES[layer.activation], layer.from_neurons, layer.after_mlp)
    run_parts(lambda a, b: _end(*end, a, b), parts)
