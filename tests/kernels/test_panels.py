"""Panels: the layout, top-k in it, and the functions of sixteen numbers."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from circuit_sparsity.kernels import abs_top_k_panels, from_panels, to_panels
from circuit_sparsity.kernels.compiled import kernel
from circuit_sparsity.kernels.elementwise import erf16, exp16, gelu16, relu16
from circuit_sparsity.kernels.vector import load, store

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


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 2**31))
def test_panels_hold_what_they_were_given(tokens, channels, seed):
    x = values((tokens, channels), seed, "normal")
    panels = to_panels(x)
    assert panels.shape == (-(-tokens // 16), channels, 16)
    assert torch.equal(panels.transpose(1, 2).flatten(0, 1)[:tokens], x)
    assert float(panels.abs().double().sum()) == pytest.approx(float(x.abs().double().sum()))
    assert torch.equal(from_panels(panels, tokens), x)


def test_more_tokens_than_the_panels_hold_are_refused():
    with pytest.raises(ValueError, match="17 tokens"):
        from_panels(torch.zeros(1, 2, 16), 17)


@settings(deadline=None, max_examples=120)
@given(
    st.integers(1, 4),
    st.sampled_from([1, 2, 7, 100, 511, 512, 513, 700, 2080]),
    st.floats(0, 1.1),
    st.integers(0, 2**31),
    KINDS,
)
def test_top_k_of_panels_is_what_torch_topk_finds(panels, channels, share, seed, kind):
    x, k = values((panels, channels, 16), seed, kind), round(share * channels)
    kept = abs_top_k_panels(x, k)
    assert torch.all((kept == x) | (kept == 0))
    k = min(k, channels)
    largest = kept.abs().sort(1, descending=True).values[:, :k]
    assert torch.equal(largest, x.abs().topk(k, 1).values)
    assert torch.all((kept != 0).sum(1) <= k)


def test_top_k_is_exact_where_every_sixteenth_channel_misleads():
    x = values((2, 2048, 16), 0, "normal")
    x[:, ::16] *= 1e6
    for k in (1, 100, 128, 129, 1000, 2047):
        kept = abs_top_k_panels(x, k)
        assert torch.all((kept != 0).sum(1) == k)
        assert torch.equal(kept.abs().topk(k, 1).values, x.abs().topk(k, 1).values)


def test_the_gradient_passes_through_what_was_kept():
    x = values((2, 40, 16), 0, "normal").requires_grad_()
    kept = abs_top_k_panels(x, 10)
    kept.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad == 1, kept != 0)


def test_a_negative_k_is_refused():
    with pytest.raises(ValueError, match="k is -1"):
        abs_top_k_panels(torch.ones(1, 3, 16), -1)


@kernel
def _apply(x, y, which):
    for i in range(0, x.size, 16):
        value = load(x, i)
        if which == 0:
            store(y, i, exp16(value))
        elif which == 1:
            store(y, i, erf16(value))
        elif which == 2:
            store(y, i, gelu16(value))
        else:
            store(y, i, relu16(value))


def applied(x: np.ndarray, which: int) -> np.ndarray:
    y = np.empty_like(x)
    _apply(x, y, which)
    return y


def test_exp_is_right_to_two_parts_in_ten_million():
    x = np.linspace(-87, 87, 1 << 16).astype(np.float32)
    expected = np.exp(x.astype(np.float64))
    assert np.max(np.abs(applied(x, 0) / expected - 1)) < 2e-7


def test_exp_far_below_is_as_good_as_zero_and_far_above_finite():
    x = np.array([-1e30, -np.inf, 1e30, np.nan] * 4, np.float32)
    y = applied(x, 0)[:4]
    assert np.all(y[:2] < 2e-38)
    assert np.isfinite(y[2])
    assert np.isnan(y[3])


def test_erf_and_gelu_are_right_to_a_millionth():
    x = np.linspace(-9, 9, 1 << 14).astype(np.float32)
    wide = torch.from_numpy(x).double()
    erf = torch.erf(wide)
    assert np.max(np.abs(applied(x, 1) - erf.numpy())) < 5e-7
    gelu = wide * (1 + torch.erf(wide / math.sqrt(2))) / 2
    assert np.max(np.abs(applied(x, 2) - gelu.numpy())) < 2e-6


def test_what_is_not_a_number_stays_so():
    x = np.full(16, np.nan, np.float32)
    assert all(np.isnan(applied(x, which)).all() for which in range(4))
