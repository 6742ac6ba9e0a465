"""Calibration against closed forms."""

import math

import pytest
import torch

from circuit_sparsity.pruning.find import calibrate


def test_scale_and_shift_are_those_of_the_closed_form() -> None:
    # Three of four prompts are right by 1 and one is wrong by 1, on both sides; then both answers
    # are moved by 0.4 towards the positive one. The best scale is ln 3, the best shift undoes it.
    spread = torch.tensor([1.0, 1.0, 1.0, -1.0])
    margins = torch.cat((spread + 0.4, spread - 0.4))
    found = calibrate(margins)
    assert found.scale == pytest.approx(math.log(3), rel=1e-3)
    assert found.shift == pytest.approx(-0.4 * math.log(3), rel=1e-3)
    expected = [math.log(3)] * 3 + [-math.log(3)]
    assert found.apply(margins).tolist() == pytest.approx(expected * 2, rel=1e-2)
