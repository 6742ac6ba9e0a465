"""Exact top-k over channels for the sixteen tokens of a panel at once.

Each lane searches its own threshold, and one pass over the channels counts for all sixteen. A
search among every 16th channel comes first and brackets the threshold, so that few passes see
every channel.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from circuit_sparsity.kernels.compiled import kernel
from circuit_sparsity.kernels.elementwise import where_kept
from circuit_sparsity.kernels.threads import run_parts, split
from circuit_sparsity.kernels.vector import (
    add_where_reaching,
    keep_where_reaching,
    lanes_between,
    largest,
    load,
    load_bits,
    lowest_set,
    magnitude_bits,
    splat,
    store,
)

LANES = 16
_EVERY = 16  # one channel in so many is sampled
_LEAST_CHANNELS = 512  # under which a sample says too little
_LEAST_ENTRIES = 32_768  # per thread

_GATHERED = 256  # entries in the open brackets of all lanes together that are worth sorting

_ABOVE_ALL = 0x7FFFFFFF  # no number has these bits; of what is no number one pattern has

# A lane's search: _LOW is reached by _AT_LOW >= k entries, _HIGH by _AT_HIGH < k; the next bounds
# to try are _UNDER and _OVER. A lane is done when _AT_LOW is k or nothing lies between.
_LOW, _HIGH, _AT_LOW, _AT_HIGH, _UNDER, _OVER = range(6)


@kernel
def _count(x, at, rows, every, under, over, count):
    """How many of the rows 0, every, 2 * every ... reach each lane's two bounds."""
    low, high = load_bits(under, 0), load_bits(over, 0)
    at_low = at_high = splat(np.int32(0))
    for row in range(0, rows, every):
        magnitude = magnitude_bits(load(x, at + row * 16))
        at_low = add_where_reaching(at_low, magnitude, low)
        at_high = add_where_reaching(at_high, magnitude, high)
    store(count, 0, at_low)
    store(count, 16, at_high)


@kernel
def _begin(state, rows):
    for lane in range(16):
        state[_LOW, lane], state[_HIGH, lane] = 0, _ABOVE_ALL
        state[_AT_LOW, lane], state[_AT_HIGH, lane] = rows, 0


@kernel
def _is_open(state, lane, k):
    return state[_AT_LOW, lane] != k and state[_HIGH, lane] - state[_LOW, lane] > 1


@kernel
def _take_in(state, lane, k, bound, count):
    if count >= k and bound > state[_LOW, lane]:
        state[_LOW, lane], state[_AT_LOW, lane] = bound, count
    elif count < k and bound < state[_HIGH, lane]:
        state[_HIGH, lane], state[_AT_HIGH, lane] = bound, count


@kernel
def _aim(state, lane, k, step):
    """Bounds to try next: about k, by a straight line through the bracket; at times quarters."""
    low, span = state[_LOW, lane], state[_HIGH, lane] - state[_LOW, lane]
    inside = state[_AT_LOW, lane] - state[_AT_HIGH, lane]
    margin = int(0.75 * np.sqrt(inside)) + 1
    above = state[_AT_LOW, lane] - k
    if step % 3 == 2:
        above, margin, inside = 2, 1, 4
    under, over = span * (above - margin) // inside, span * (above + margin) // inside
    state[_UNDER, lane] = low + min(max(under, 1), span - 1)
    state[_OVER, lane] = low + min(max(over, 1), span - 1)


@kernel
def _probe(x, at, rows, every, k, state, bounds, count, step):
    """One pass: count at each lane's two bounds and narrow its bracket; entries still open."""
    for lane in range(16):
        bounds[lane], bounds[lane + 16] = state[_UNDER, lane], state[_OVER, lane]
    _count(x, at, rows, every, bounds, bounds[16:], count)
    inside = 0
    for lane in range(16):
        if _is_open(state, lane, k):
            _take_in(state, lane, k, bounds[lane], count[lane])
            _take_in(state, lane, k, bounds[lane + 16], count[lane + 16])
        if _is_open(state, lane, k):
            inside += state[_AT_LOW, lane] - state[_AT_HIGH, lane]
            _aim(state, lane, k, step)
    return inside


@kernel
def _blind_aim(x, at, rows, every, state):
    """First bounds to try where nothing is known: a half and an eighth of the largest."""
    most = splat(np.int32(0))
    for row in range(0, rows, every):
        most = largest(most, magnitude_bits(load(x, at + row * 16)))
    top = np.empty(16, np.int32)
    store(top, 0, most)
    for lane in range(16):
        state[_HIGH, lane] = np.int64(top[lane]) + 1
        state[_OVER, lane] = max(np.int64(top[lane]) - (1 << 23), 1)
        state[_UNDER, lane] = max(np.int64(top[lane]) - (3 << 23), 1)


@kernel
def _sampled(x, at, rows, k, state, bounds, count):
    """Search among every 16th channel for what the k-th largest of them may be."""
    sample = -(-rows // _EVERY)
    k = min(max(k, 1), sample - 1)
    _begin(state, sample)
    _blind_aim(x, at, rows, _EVERY, state)
    for step in range(5):
        if _probe(x, at, rows, _EVERY, k, state, bounds, count, step) == 0:
            return


@kernel
def _aim_by_sample(x, at, rows, k, state, bounds, count):
    """Bracket the threshold of the whole by thresholds of a sample, three deviations apart."""
    share = k / rows
    slack = int(3 * np.sqrt(share * (1 - share) * rows / _EVERY)) + 1
    _sampled(x, at, rows, k // _EVERY + slack, state, bounds, count)
    under = state[_LOW].copy()
    _sampled(x, at, rows, k // _EVERY - slack, state, bounds, count)
    over = state[_HIGH].copy()
    _begin(state, rows)
    for lane in range(16):
        state[_UNDER, lane], state[_OVER, lane] = max(under[lane], 1), max(over[lane], 1)


@kernel
def _gather(x, at, rows, k, state, bounds, found, many):
    """The entries inside the open brackets, by lane."""
    for lane in range(16):
        bounds[lane] = bounds[lane + 16] = many[lane] = 0
        if _is_open(state, lane, k):
            bounds[lane], bounds[lane + 16] = state[_LOW, lane], state[_HIGH, lane]
    low, high = load_bits(bounds, 0), load_bits(bounds, 16)
    magnitudes = x.view(np.int32)
    for row in range(rows):
        inside = lanes_between(magnitude_bits(load(x, at + row * 16)), low, high)
        while inside:
            lane = lowest_set(inside)
            inside &= inside - np.int32(1)
            found[lane, many[lane]] = magnitudes[at + row * 16 + lane] & np.int32(0x7FFFFFFF)
            many[lane] += 1


@kernel
def _decide_exactly(x, at, rows, k, state, bounds, found, many):
    """Sort the few entries inside each open bracket and read the threshold off."""
    _gather(x, at, rows, k, state, bounds, found, many)
    for lane in range(16):
        if not _is_open(state, lane, k) or many[lane] == 0:
            continue
        values = found[lane, : many[lane]]
        values.sort()
        rank = max(values.size - (k - state[_AT_HIGH, lane]), 0)
        state[_LOW, lane] = values[rank]
        while rank > 0 and values[rank - 1] == values[rank]:
            rank -= 1
        state[_AT_LOW, lane] = state[_AT_HIGH, lane] + values.size - rank
        state[_HIGH, lane] = state[_LOW, lane] + 1


@kernel
def _search(x, at, rows, k, state, bounds, count, found, many):
    """state[_LOW] becomes each lane's threshold, state[_AT_LOW] how many reach it: k or more."""
    if rows >= _LEAST_CHANNELS:
        _aim_by_sample(x, at, rows, k, state, bounds, count)
    else:
        _begin(state, rows)
        _blind_aim(x, at, rows, 1, state)
    step = 0
    inside = _probe(x, at, rows, 1, k, state, bounds, count, step)
    while inside > _GATHERED:
        step += 1
        inside = _probe(x, at, rows, 1, k, state, bounds, count, step)
    if inside:
        _decide_exactly(x, at, rows, k, state, bounds, found, many)


@kernel
def _keep(x, at, rows, k, bounds, reaching, out):
    """Write what reaches the bounds, less the last of those that equal it beyond k."""
    limit = load_bits(bounds, 0)
    for row in range(rows):
        value = load(x, at + row * 16)
        store(out, at + row * 16, keep_where_reaching(value, magnitude_bits(value), limit))
    magnitudes = out.view(np.int32)
    for lane in range(16):
        excess = reaching[lane] - k
        row = rows - 1
        while excess > 0 and bounds[lane] > 0 and row >= 0:
            place = at + row * 16 + lane
            if magnitudes[place] & np.int32(0x7FFFFFFF) == bounds[lane]:
                out[place] = 0
                excess -= 1
            row -= 1


@kernel
def keep_top(x, out, at, rows, k):
    """The panel that starts at ``at``; x and out may be the same array."""
    count, many = np.empty(32, np.int32), np.empty(16, np.int32)
    bounds, found = np.empty(32, np.int32), np.empty((16, _GATHERED), np.int32)
    state = np.empty((6, 16), np.int64)
    _search(x, at, rows, k, state, bounds, count, found, many)
    for lane in range(16):
        bounds[lane] = state[_LOW, lane]
    _keep(x, at, rows, k, bounds, state[_AT_LOW], out)


@kernel
def _panels(x, out, rows, k, begin, end):
    for panel in range(begin, end):
        keep_top(x, out, panel * rows * 16, rows, k)


class _TopChannels(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, k: int) -> Tensor:
        panels, rows = x.shape[:2]
        source = x.detach().contiguous()
        out = torch.empty_like(source)
        flat_in, flat_out = source.view(-1).numpy(), out.view(-1).numpy()

        def work(begin: int, end: int) -> None:
            _panels(flat_in, flat_out, rows, k, begin, end)

        run_parts(work, split(panels, _LEAST_ENTRIES // (rows * LANES)))
        ctx.save_for_backward(out)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (out,) = ctx.saved_tensors
        return where_kept(out, grads[0]), None


def abs_top_k_panels(
    x: Float[Tensor, "panels channels 16"], k: int
) -> Float[Tensor, "panels channels 16"]:
    """For every token of panels, exactly the ``k`` channels of largest magnitude, else zero.

    The gradient passes through what was kept and is not zero.

    >>> abs_top_k_panels(torch.arange(4.0).view(1, 4, 1).expand(1, 4, 16), 1)[0, :, 0]
    tensor([0., 0., 0., 3.])
    """
    if k < 0:
        raise ValueError(f"abs_top_k_panels: k is {k}; pass a number of channels, 0 or more")
    if k >= x.shape[1]:
        return x
    if k == 0 or not x.numel():
        return x * 0
    return _TopChannels.apply(x, k)  # pyright: ignore[reportReturnType]
