"""Causal attention with a sink, in panels: sixteen queries side by side, keys one by one.

Prompts lie one after the other without padding and may share a panel: a token sees what lies
between the first token of its prompt and itself. A panel's scores stay in the first-level cache,
so they are computed once and read three times: for the largest, for the sum, for the values.
The sparsity of queries and keys is not used: over sixteen queries hardly any channel is zero for
all. Heads that nothing reads are left out.

The gradient recomputes the scores with queries as lanes, for them, and turns each block of sixteen
keys for keys and values: so nothing is ever summed across the lanes of a vector.
"""

import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int32
from torch import Tensor

from circuit_sparsity.kernels.compiled import kernel
from circuit_sparsity.kernels.elementwise import exp16
from circuit_sparsity.kernels.norm import flat
from circuit_sparsity.kernels.threads import run_parts, split
from circuit_sparsity.kernels.vector import (
    add,
    divide,
    largest,
    load,
    multiply,
    multiply_add,
    splat,
    spread,
    store,
    subtract,
    transpose,
)

LANES = 16
_LEAST_WORK = 200_000  # multiplications per thread
_HIDDEN = np.float32(-1e30)


@kernel
def _scores(a, a_at, b, b_at, channels, scale, out, to):
    """out[j, lane] = scale * sum over channels of a[channel, lane] * b[channel, j]."""
    for j in range(0, 16, 8):
        s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = splat(0.0)
        for channel in range(channels):
            lanes, at = load(a, a_at + channel * 16), b_at + channel * 16 + j
            s0 = multiply_add(lanes, spread(b, at), s0)
            s1 = multiply_add(lanes, spread(b, at + 1), s1)
            s2 = multiply_add(lanes, spread(b, at + 2), s2)
            s3 = multiply_add(lanes, spread(b, at + 3), s3)
            s4 = multiply_add(lanes, spread(b, at + 4), s4)
            s5 = multiply_add(lanes, spread(b, at + 5), s5)
            s6 = multiply_add(lanes, spread(b, at + 6), s6)
            s7 = multiply_add(lanes, spread(b, at + 7), s7)
        at = to + j * 16
        store(out, at, multiply(s0, scale))
        store(out, at + 16, multiply(s1, scale))
        store(out, at + 32, multiply(s2, scale))
        store(out, at + 48, multiply(s3, scale))
        store(out, at + 64, multiply(s4, scale))
        store(out, at + 80, multiply(s5, scale))
        store(out, at + 96, multiply(s6, scale))
        store(out, at + 112, multiply(s7, scale))


@kernel
def _mix(weights, b, b_at, step, first, last, channels, factor, out, to):
    """out[channel, lane] = factor * sum over j of weights[j, lane] * b[channel, j].

    j runs over the panels first..last of b, which are ``step`` apart.
    """
    whole = channels // 8 * 8
    for channel in range(0, whole, 8):
        o0 = o1 = o2 = o3 = o4 = o5 = o6 = o7 = splat(0.0)
        for panel in range(first, last):
            for j in range(16):
                lanes = load(weights, ((panel - first) * 16 + j) * 16)
                at = b_at + panel * step + channel * 16 + j
                o0 = multiply_add(lanes, spread(b, at), o0)
                o1 = multiply_add(lanes, spread(b, at + 16), o1)
                o2 = multiply_add(lanes, spread(b, at + 32), o2)
                o3 = multiply_add(lanes, spread(b, at + 48), o3)
                o4 = multiply_add(lanes, spread(b, at + 64), o4)
                o5 = multiply_add(lanes, spread(b, at + 80), o5)
                o6 = multiply_add(lanes, spread(b, at + 96), o6)
                o7 = multiply_add(lanes, spread(b, at + 112), o7)
        at = to + channel * 16
        store(out, at, multiply(o0, factor))
        store(out, at + 16, multiply(o1, factor))
        store(out, at + 32, multiply(o2, factor))
        store(out, at + 48, multiply(o3, factor))
        store(out, at + 64, multiply(o4, factor))
        store(out, at + 80, multiply(o5, factor))
        store(out, at + 96, multiply(o6, factor))
        store(out, at + 112, multiply(o7, factor))
    for channel in range(whole, channels):
        total = splat(0.0)
        for panel in range(first, last):
            for j in range(16):
                lanes = load(weights, ((panel - first) * 16 + j) * 16)
                total = multiply_add(
                    lanes, spread(b, b_at + panel * step + channel * 16 + j), total
                )
        store(out, to + channel * 16, multiply(total, factor))


@kernel
def _hide(scores, to, key, queries, starts):
    """Push down what a query may not see: keys after itself and before its prompt."""
    for j in range(16):
        place = np.float32(key + j)
        outside = largest(subtract(place, queries), subtract(starts, place))
        hidden = multiply_add(largest(outside, 0.0), _HIDDEN, load(scores, to + j * 16))
        store(scores, to + j * 16, hidden)


@kernel
def _score_keys(q, k, at, step, panel, first, channels, scale, starts, places, scores):
    """Scores of a panel's queries against the keys of panels first..panel, hidden ones too."""
    own = panel * 16
    queries, from_keys = load(places, own), load(starts, own)
    for other in range(first, panel + 1):
        to = (other - first) * 256
        _scores(q, at + panel * step, k, at + other * step, channels, scale, scores, to)
        if other == panel or other * 16 < starts[own + 15]:
            _hide(scores, to, other * 16, queries, from_keys)


@kernel
def _attend_panel(q, k, v, step, panel, head, channels, scale, sink, starts, places, scores, y):
    """One head of one panel; the largest score and one over the sum are returned."""
    first, at = int(starts[panel * 16]) // 16, head * channels * 16
    _score_keys(q, k, at, step, panel, first, channels, scale, starts, places, scores)
    keys = (panel + 1 - first) * 16
    most = splat(_HIDDEN)
    total = splat(0.0)
    if sink.size:
        most = splat(sink[head])
    for j in range(keys):
        most = largest(most, load(scores, j * 16))
    if sink.size:
        total = exp16(subtract(splat(sink[head]), most))
    for j in range(keys):
        weight = exp16(subtract(load(scores, j * 16), most))
        store(scores, j * 16, weight)
        total = add(total, weight)
    share = divide(1.0, total)
    _mix(scores, v, at, step, first, panel + 1, channels, share, y, at + panel * step)
    return most, share


@kernel
def _forward(
    q, k, v, panels, channels, scale, sink, starts, places, heads, y, norms, all_heads, begin, end
):
    step = all_heads * channels * 16
    scores = np.empty(panels * 256, np.float32)
    for index in range(begin, end):
        head = heads[index]
        for panel in range(panels):
            most, share = _attend_panel(
                q, k, v, step, panel, head, channels, scale, sink, starts, places, scores, y
            )
            if norms.size:
                store(norms, (panel * all_heads + head) * 32, most)
                store(norms, (panel * all_heads + head) * 32 + 16, share)


@kernel
def _weigh(weights, slopes, j, most, share, along):
    """Score and slope of the weight become the weight and the slope of the score."""
    weight = multiply(exp16(subtract(load(weights, j * 16), most)), share)
    store(weights, j * 16, weight)
    store(slopes, j * 16, multiply(weight, subtract(load(slopes, j * 16), along)))


@kernel
def _add_mix(weights, b, b_at, channels, factor, out, to):
    """out[channel, lane] += factor * sum over j of weights[j, lane] * b[channel, j], 16 of them."""
    for channel in range(channels):
        even = odd = splat(0.0)
        at = b_at + channel * 16
        for j in range(0, 16, 2):
            even = multiply_add(load(weights, j * 16), spread(b, at + j), even)
            odd = multiply_add(load(weights, j * 16 + 16), spread(b, at + j + 1), odd)
        place = to + channel * 16
        store(out, place, multiply_add(add(even, odd), factor, load(out, place)))


@kernel
def _back(
    q, k, v, dy, norms, along, panel, head, all_heads, channels, scale, starts, places, weights,
    slopes, turned, dq, dk, dv,
):  # fmt: skip
    """What the queries of ``panel`` give to themselves, and to the keys and values they see."""
    first, at = int(starts[panel * 16]) // 16, head * channels * 16
    step, own = all_heads * channels * 16, at + panel * all_heads * channels * 16
    _score_keys(q, k, at, step, panel, first, channels, scale, starts, places, weights)
    place = (panel * all_heads + head) * 32
    most, share, of_all = load(norms, place), load(norms, place + 16), load(along, place // 2)
    for other in range(first, panel + 1):
        to, there = (other - first) * 256, at + other * step
        _scores(dy, own, v, there, channels, 1.0, slopes, to)
        for j in range(16):
            _weigh(weights, slopes, (other - first) * 16 + j, most, share, of_all)
        transpose(slopes, to, 16, turned, 0, 16)
        _add_mix(turned, q, own, channels, scale, dk, there)
        transpose(weights, to, 16, turned, 0, 16)
        _add_mix(turned, dy, own, channels, np.float32(1.0), dv, there)
    _mix(slopes, k, at, step, first, panel + 1, channels, splat(scale), dq, own)


@kernel
def _backward(
    q, k, v, dy, norms, along, panels, all_heads, channels, scale, starts, places, dq, dk, dv,
    begin, end,
):  # fmt: skip
    weights, slopes = np.empty(panels * 256, np.float32), np.empty(panels * 256, np.float32)
    turned = np.empty(256, np.float32)
    for head in range(begin, end):
        for panel in range(panels):
            _back(
                q, k, v, dy, norms, along, panel, head, all_heads, channels, scale, starts, places,
                weights, slopes, turned, dq, dk, dv,
            )  # fmt: skip


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        sink: Tensor,
        bounds: Tensor,
        n_head: int,
        heads: Tensor,
    ) -> Tensor:
        panels, width = q.shape[:2]
        channels = width // n_head
        scale = np.float32(1 / math.sqrt(channels))
        y = torch.zeros_like(q) if len(heads) < n_head else torch.empty_like(q)
        wanted = any(ctx.needs_input_grad[:3])
        norms = torch.empty(panels * n_head * 32 if wanted else 0)
        given = flat(q), flat(k), flat(v), panels, channels, scale, flat(sink)
        given = *given, *_as_floats(bounds), heads.numpy(), flat(y), flat(norms), n_head
        work = panels * _keys(bounds) * LANES * (2 * channels + 8)
        run_parts(
            lambda begin, end: _forward(*given, begin, end),
            split(len(heads), _LEAST_WORK // work + 1),
        )
        ctx.save_for_backward(q, k, v, y, norms, bounds)
        ctx.n_head = n_head
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, y, norms, bounds = ctx.saved_tensors
        (panels, width), n_head = q.shape[:2], ctx.n_head
        channels = width // n_head
        dy = grads[0].contiguous()
        along = (dy * y).view(panels, n_head, channels, LANES).sum(dim=2)
        dq, dk, dv = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        scale = np.float32(1 / math.sqrt(channels))
        given = flat(q), flat(k), flat(v), flat(dy), flat(norms), flat(along), panels, n_head
        given = *given, channels, scale, *_as_floats(bounds), flat(dq), flat(dk), flat(dv)
        work = panels * _keys(bounds) * LANES * (5 * channels + 16)
        run_parts(
            lambda begin, end: _backward(*given, begin, end),
            split(n_head, _LEAST_WORK // work + 1),
        )
        return dq, dk, dv, None, None, None, None


def _as_floats(bounds: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Where each token's prompt begins, and where the token is: exact up to 2**24 tokens."""
    starts = bounds[0].numpy().astype(np.float32)
    return starts, np.arange(len(starts), dtype=np.float32)


def _keys(bounds: Tensor) -> int:
    """How many keys a panel of queries has to go through, on average; for dividing work."""
    return max(1, int((bounds[1] - bounds[0]).float().mean()) // 2 + LANES)


def attend_panels(
    q: Float[Tensor, "panels d_attn 16"],
    k: Float[Tensor, "panels d_attn 16"],
    v: Float[Tensor, "panels d_attn 16"],
    sink: Float[Tensor, " head"] | None,
    bounds: Int32[Tensor, "start_and_end token"],
    n_head: int,
    heads: Int32[Tensor, " live"] | None = None,
) -> Float[Tensor, "panels d_attn 16"]:
    """What each head reads, at scale 1/sqrt(d_head); zero for heads that are not among ``heads``.

    ``bounds`` come from ``token_bounds``. There is a gradient for q, k and v where all heads run.
    """
    sink = torch.empty(0) if sink is None else sink
    heads = torch.arange(n_head, dtype=torch.int32) if heads is None else heads
    q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
    return _Attention.apply(q, k, v, sink, bounds, n_head, heads)  # pyright: ignore


def token_bounds(prompts: int, length: int) -> Int32[Tensor, "start_and_end token"]:
    """Where the prompt of each token begins and ends; lanes past the last token stand alone.

    >>> token_bounds(2, 9)[:, 7:12]
    tensor([[ 0,  0,  9,  9,  9],
            [ 9,  9, 18, 18, 18]], dtype=torch.int32)
    """
    tokens = prompts * length
    place = torch.arange(-(-tokens // LANES) * LANES, dtype=torch.int32)
    start = place - place % max(length, 1)
    inside = place < tokens
    start, end = torch.where(inside, start, place), torch.where(inside, start + length, place + 1)
    return torch.stack((start, end))
