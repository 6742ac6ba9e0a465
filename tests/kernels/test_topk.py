"""Exact top-k against torch.topk, and the facts a threshold search may get wrong."""

import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from circuit_sparsity.kernels import abs_top_k, top_k_mask_flat

ROWS = st.tuples(st.integers(0, 5), st.integers(1, 70), st.integers(0, 70), st.integers(0, 2**31))
TYPES = st.sampled_from([torch.float32, torch.bfloat16, torch.float64])
KINDS = st.sampled_from(["normal", "tied", "mostly_zero", "zero", "extreme"])


def values(shape: tuple[int, ...], seed: int, kind: str) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=generator)
    if kind == "tied":
        return (2 * x).round()
    if kind == "mostly_zero":
        return x * (torch.rand(shape, generator=generator) < 0.1)
    if kind == "extreme":
        return x.sign() * (60 * x).exp().clamp(1e-45, 3e38)
    return x * (kind != "zero")


@settings(deadline=None, max_examples=150)
@given(ROWS, TYPES, KINDS)
def test_the_kept_magnitudes_are_those_torch_topk_finds(case, dtype, kind):
    rows, width, k, seed = case
    x = values((rows, width), seed, kind).to(dtype)
    kept = abs_top_k(x, k)
    k = min(k, width)
    assert kept.dtype is dtype
    assert torch.all((kept == x) | (kept == 0))
    largest = kept.abs().float().sort(-1, descending=True).values[:, :k]
    assert torch.equal(largest, x.abs().float().topk(k, -1).values)
    assert torch.all((kept != 0).sum(-1) <= k)


@settings(deadline=None, max_examples=100)
@given(ROWS, TYPES, KINDS)
def test_the_gradient_passes_through_exactly_k_entries(case, dtype, kind):
    rows, width, k, seed = case
    x = values((rows, width), seed, kind).to(dtype).requires_grad_()
    kept = abs_top_k(x, k)
    kept.sum().backward()
    assert x.grad is not None
    assert torch.all((x.grad == 1).sum(-1) == min(k, width))
    assert torch.all((x.grad == 1) | (kept == 0))


@settings(deadline=None, max_examples=150)
@given(ROWS, TYPES, KINDS)
def test_a_flat_mask_keeps_exactly_k_of_the_largest(case, dtype, kind):
    rows, width, k, seed = case
    x = values((rows, width), seed, kind).to(dtype)
    mask = top_k_mask_flat(x, k)
    assert mask.shape == x.shape
    assert int(mask.sum()) == min(k, x.numel())
    if mask.any() and not mask.all():
        assert x[mask].abs().min() >= x[~mask].abs().max()


@pytest.mark.parametrize("kept", [1, 7, 512, 50_000, 99_999])
@pytest.mark.parametrize("kind", ["normal", "tied", "mostly_zero", "zero", "sorted"])
def test_a_flat_mask_is_exact_when_a_sample_misleads(kind, kept):
    x = values((100_000,), 3, kind)
    if kind == "sorted":
        x = x.abs().sort().values
        x[::64] = 1e9  # what a sample at every 64th entry would see
    mask = top_k_mask_flat(x, kept)
    assert int(mask.sum()) == kept
    assert x[mask].abs().min() >= x[~mask].abs().max()


def test_any_shape_and_stride_is_taken():
    x = torch.randn(6, 5, 4).transpose(0, 2)
    assert torch.equal(abs_top_k(x, 2), abs_top_k(x.contiguous(), 2))
    assert torch.equal(top_k_mask_flat(x, 9), top_k_mask_flat(x.contiguous(), 9))


def test_the_gradient_of_the_gradient_reaches_back():
    x = torch.randn(3, 8, dtype=torch.float32, requires_grad=True)
    (first,) = torch.autograd.grad((abs_top_k(x, 3) ** 2).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    assert torch.equal(second, 2.0 * (first != 0))


def test_a_negative_k_is_refused():
    with pytest.raises(ValueError, match="k is -1"):
        abs_top_k(torch.ones(3), -1)
    with pytest.raises(ValueError, match="k is -1"):
        top_k_mask_flat(torch.ones(3), -1)


def test_many_threads_at_once_get_their_own_answers():
    xs = [torch.randn(400, 256) for _ in range(8)]
    expected = [abs_top_k(x, 64) for x in xs]
    wrong: list[int] = []

    def work(which: int) -> None:
        for _ in range(10):
            if not torch.equal(abs_top_k(xs[which], 64), expected[which]):
                wrong.append(which)

    threads = [threading.Thread(target=work, args=(which,)) for which in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert np.all([int((e != 0).sum()) == 400 * 64 for e in expected])
