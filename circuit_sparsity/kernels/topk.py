"""Exact top-k by magnitude, on a CPU by a search for the threshold.

The bits of a non-negative float order like the integer they spell, so the k-th largest magnitude
is found by counting integers above a bound: a count runs at the width of the vector unit, where
``torch.topk`` sorts.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuit_sparsity.kernels.compiled import kernel
from circuit_sparsity.kernels.threads import run_parts, split

_INTEGER = {torch.float32: torch.int32, torch.bfloat16: torch.int16}
_LEAST_ENTRIES = 32_768  # fewer per thread than this costs more to hand over than it saves


# Integers stay 32 bits wide and loops run over an index: either lapse costs the vector unit, 8x.
@kernel
def _count(bits, bound):
    total = np.int32(0)
    for i in range(bits.size):
        total = np.int32(total + np.int32(bits[i] >= bound))
    return np.int64(total)


@kernel
def _threshold(bits, k, low, high, count_low, count_high, guess):
    """(t, n): n entries are >= t, and n == k, or n > k and t + 1 would leave fewer than k."""
    step = 0
    middle = guess
    while high - low > 1:
        if middle <= low or middle >= high:
            middle = low + (high - low) // 2
        count = _count(bits, np.int32(middle))
        if count == k:
            return np.int32(middle), count
        if count > k:
            low, count_low = middle, count
        else:
            high, count_high = middle, count
        step += 1
        if step % 3 == 0:
            middle = low + (high - low) // 2
        else:
            middle = low + (high - low) * (count_low - k) // max(count_low - count_high, 1)
    return np.int32(low), count_low


@kernel
def _keep(source, bits, bound, excess, out):
    """Keep what reaches the bound, less the last ``excess`` entries that equal it."""
    for i in range(source.size):
        out[i] = source[i] if bits[i] >= bound else source.dtype.type(0)
    i = source.size - 1
    while excess > 0:
        if bits[i] == bound:
            out[i] = 0
            excess -= 1
        i -= 1


@kernel
def _magnitudes(source, magnitude, bits):
    largest = np.int32(0)
    for i in range(source.size):
        bits[i] = np.int32(source[i]) & magnitude
        largest = max(largest, bits[i])
    return np.int64(largest)


@kernel
def _rows(source, magnitude, k, out, mask, want_mask, start, stop):
    width = source.shape[1]
    bits = np.empty(width, np.int32)
    ones = np.ones(width, np.bool_)
    guess = np.int64(-1)
    for row in range(start, stop):
        largest = _magnitudes(source[row], magnitude, bits)
        bound, count = _threshold(bits, k, 0, largest + 1, width, 0, guess)
        guess = np.int64(bound)
        _keep(source[row], bits, bound, count - k, out[row])
        if want_mask:
            _keep(ones, bits, bound, count - k, mask[row])


def _fast(x: Tensor) -> bool:
    return x.device.type == "cpu" and x.dtype in _INTEGER and x.numel() > 0


def _select(x: Tensor, k: int, want_mask: bool) -> tuple[Tensor, Tensor]:
    source = x.detach().contiguous()
    out = torch.empty_like(source)
    mask = torch.empty(source.shape if want_mask else (0, 0), dtype=torch.bool)
    width = source.shape[-1]
    integer = _INTEGER[source.dtype]
    rows_in, rows_out = (t.view(integer).reshape(-1, width).numpy() for t in (source, out))
    rows_mask = mask.view(-1, width).numpy() if want_mask else np.empty((len(rows_in), 0), np.bool_)
    magnitude = np.int32(0x7FFFFFFF if integer is torch.int32 else 0x7FFF)

    def work(start: int, stop: int) -> None:
        _rows(rows_in, magnitude, k, rows_out, rows_mask, want_mask, start, stop)

    run_parts(work, split(len(rows_in), max(1, _LEAST_ENTRIES // width)))
    return out, mask


class _AbsTopK(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, k: int) -> Tensor:
        out, mask = _select(x, k, ctx.needs_input_grad[0])
        ctx.save_for_backward(mask)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (mask,) = ctx.saved_tensors
        return torch.where(mask, grads[0], torch.zeros((), dtype=grads[0].dtype)), None


def abs_top_k(x: Float[Tensor, "*batch width"], k: int) -> Float[Tensor, "*batch width"]:
    """Keep exactly the ``k`` entries of largest magnitude along the last axis, zero the rest.

    Of equal magnitudes at the boundary some are kept and some not, exactly ``k`` in all. The
    gradient passes through what was kept.

    >>> abs_top_k(torch.tensor([1.0, -3.0, 2.0, 0.5]), 2)
    tensor([ 0., -3.,  2.,  0.])
    """
    if k < 0:
        raise ValueError(f"abs_top_k: k is {k}; pass a number of entries to keep, 0 or more")
    if k >= x.shape[-1]:
        return x
    if k == 0:
        return x * 0
    if _fast(x):
        return _AbsTopK.apply(x, k)  # pyright: ignore[reportReturnType]
    kept = x.detach().abs().topk(k, dim=-1, sorted=False).indices
    mask = torch.zeros(x.shape, dtype=torch.bool, device=x.device).scatter_(-1, kept, True)
    return torch.where(mask, x, torch.zeros((), dtype=x.dtype, device=x.device))


@kernel
def _bracket(bits, k, rough):
    """Bounds that the k-th largest most likely lies between, from every 64th entry."""
    sample = np.empty((bits.size + 63) // 64, np.int32)
    for i in range(sample.size):
        sample[i] = bits[i * 64] & rough
    sample.sort()
    rank = sample.size - k * sample.size / bits.size
    slack = 4.0 * np.sqrt(sample.size * 0.25) * min(1.0, 2 * np.sqrt(k / bits.size)) + 2
    below, above = int(rank - slack), int(rank + slack)
    low = np.int64(sample[below]) if below > 0 else np.int64(0)
    high = np.int64(sample[above]) + 1 if above < sample.size else np.int64(rough) + 1
    return low, high


@kernel
def _flat(source, magnitude, k, mask):
    """Set ``mask`` on the k largest magnitudes of ``source`` (1 <= k < its size)."""
    low, high = _bracket(source, k, magnitude)
    near = np.empty(source.size, np.int32)
    while True:
        count, above = 0, np.int32(0)
        for i in range(source.size):
            value = np.int32(source[i]) & magnitude
            above = np.int32(above + np.int32(value >= high))
            near[count] = value
            count += np.int64(value >= low) & np.int64(value < high)
        if above < k <= above + count:
            break
        if above >= k:
            low, high = high, np.int64(magnitude) + 1
        else:
            low, high = np.int64(0), low
    near = near[:count]
    bound, found = _threshold(near, k - above, low, high, count, 0, low + (high - low) // 2)
    for i in range(source.size):
        mask[i] = (np.int32(source[i]) & magnitude) >= bound
    excess = found - (k - above)
    i = source.size - 1
    while excess > 0:
        if (np.int32(source[i]) & magnitude) == bound:
            mask[i] = False
            excess -= 1
        i -= 1


def top_k_mask_flat(x: Float[Tensor, "*shape"], k: int) -> Bool[Tensor, "*shape"]:
    """True at exactly the ``k`` entries of largest magnitude of the whole tensor.

    >>> top_k_mask_flat(torch.tensor([[1.0, -3.0], [2.0, 0.5]]), 2)
    tensor([[False,  True],
            [ True, False]])
    """
    if k < 0:
        raise ValueError(f"top_k_mask_flat: k is {k}; pass a number of entries to keep, 0 or more")
    if k == 0 or k >= x.numel():
        return torch.full(x.shape, k > 0, dtype=torch.bool, device=x.device)
    flat = x.detach().contiguous().view(-1)
    if not _fast(x):
        kept = flat.abs().topk(k, sorted=False).indices
        mask = torch.zeros(flat.shape, dtype=torch.bool, device=x.device)
        return mask.scatter_(0, kept, True).view(x.shape)
    mask = torch.empty(flat.shape, dtype=torch.bool)
    integer = _INTEGER[x.dtype]
    magnitude = np.int32(0x7FFFFFFF if integer is torch.int32 else 0x7FFF)
    _flat(flat.view(integer).numpy(), magnitude, k, mask.numpy())
    return mask.view(x.shape)
