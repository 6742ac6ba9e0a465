"""Gates: values and gradients by hand."""

import math

import pytest
import torch

from circuit_sparsity.pruning.answers import filled, gate_slope, gated
from circuit_sparsity.pruning.learn import schedule
from circuit_sparsity.pruning.settings import PruneSettings


def test_slope_of_the_gate_is_that_of_a_sigmoid() -> None:
    tau, temperature = torch.tensor([0.3, -0.7], dtype=torch.float64), 0.234
    expected = []
    for t in tau.tolist():
        s = 1 / (1 + math.exp(-t / temperature))
        expected.append(s * (1 - s) / temperature)
    assert gate_slope(tau, temperature).tolist() == pytest.approx(expected)


def test_gradients_of_a_filled_tensor_are_those_on_paper() -> None:
    # Two prompts of one token and two channels; mean (1, -1); the second channel is off.
    x = torch.tensor([[[3.0, 5.0]], [[-2.0, 4.0]]], requires_grad=True)
    gate = torch.tensor([1.0, 0.0], requires_grad=True)
    out = gated({"place": gate}, {"place": torch.tensor([1.0, -1.0])})("place", x)
    assert out.tolist() == [[[3.0, -1.0]], [[-2.0, -1.0]]]
    (out * torch.tensor([[[1.0, 2.0]], [[10.0, 20.0]]])).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[[1.0, 0.0]], [[10.0, 0.0]]]
    # (3 - 1)·1 + (-2 - 1)·10 and (5 + 1)·2 + (4 + 1)·20
    assert gate.grad is not None
    assert gate.grad.tolist() == [-28.0, 112.0]


def test_a_gate_of_zeros_and_ones_is_a_mean_fill() -> None:
    x, mean = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0)), torch.arange(4.0)
    kept = torch.tensor([True, False, True, False])
    expected = filled({"place": kept}, {"place": mean})("place", x)
    got = gated({"place": kept.float()}, {"place": mean})("place", x)
    torch.testing.assert_close(got, expected)
    assert filled({"place": kept}, {"place": mean})("elsewhere", x) is x


def test_the_rate_rises_to_its_peak_and_falls_to_zero() -> None:
    settings = PruneSettings(steps=200, warm_up=0.05)
    rates = [schedule(step, settings) for step in range(201)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == 1.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[200] == 0.0
