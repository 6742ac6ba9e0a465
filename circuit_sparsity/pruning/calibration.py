"""Fit a scale and a shift of the answers' logits, on stored logits."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

STEPS = 16


@dataclass(frozen=True)
class Calibration:
    """A margin m (right less wrong) becomes scale·m + shift for the first half of a batch and
    scale·m - shift for the second, whose answers are the other way round."""

    scale: float
    shift: float  # in favour of what is right for positive prompts, in nats

    def apply(self, margins: Float[Tensor, " prompt"]) -> Float[Tensor, " prompt"]:
        return self.scale * margins + self.shift * _sides(margins)


def calibrate(margins: Float[Tensor, " prompt"]) -> Calibration:
    """The scale and shift of least loss, by 16 steps of L-BFGS from 1 and 0.

    The shift is between the two answers: one common to all logits would cancel in a two-way loss.
    """
    margins, sides = margins.detach().double(), _sides(margins).double()
    values = torch.tensor([1.0, 0.0], dtype=torch.float64, device=margins.device)
    values.requires_grad_()
    optimiser = torch.optim.LBFGS([values], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        found = F.softplus(-(values[0] * margins + values[1] * sides)).mean()
        found.backward()
        return found

    with torch.enable_grad():
        optimiser.step(loss)
    scale, shift = values.tolist()
    return Calibration(scale, shift)


def _sides(margins: Float[Tensor, " prompt"]) -> Float[Tensor, " prompt"]:
    """1 for the first half of a batch, -1 for the second."""
    half = len(margins) // 2
    return torch.where(torch.arange(len(margins), device=margins.device) < half, 1.0, -1.0)
