"""What a pruning is asked for, and the price on nodes that leads there."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from circuit_sparsity.pruning.settings import PruneSettings

TARGET_LOSS = 0.15  # nats per sequence, the paper's; chance is 0.693
_MEMORY = 0.9  # of the running mean of the steps' losses


@dataclass(frozen=True)
class Goal:
    """The fewest nodes that meet a loss, or the lowest loss of exactly ``k`` nodes."""

    target: float = TARGET_LOSS
    k: int | None = None

    @classmethod
    def of(cls, target: float | None, k: int | None) -> "Goal":
        """ValueError when both are given; the paper's target when neither is."""
        if target is not None and k is not None:
            raise ValueError(f"got a target loss ({target}) and a number of nodes ({k}); give one")
        return cls(TARGET_LOSS if target is None else target, k)


class Price:
    """``k_coef``, constant or steered: it rises while there are nodes to spare, and falls back.

    Nodes that are bought out too early are not ranked well, so the search should end where the
    goal is: with k nodes on, or at a loss a little below the target.
    """

    def __init__(
        self, goal: Goal, settings: PruneSettings, device: torch.device | str = "cpu"
    ) -> None:
        self._goal, self._settings = goal, settings
        start = math.log(settings.k_coef) if settings.k_coef else -math.inf
        # On the device, and moved without asking what is in them: a step waits for nothing.
        self._log = torch.tensor(start, dtype=torch.float64, device=device)
        self._loss: Tensor | None = None
        self._most = torch.zeros((), device=device)  # nodes that were ever on

    @property
    def k_coef(self) -> float:
        return float(self._log.exp())

    def per_node(self, nodes: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """What one more node costs: the derivative of the penalty by the number of nodes on."""
        price = self._log.exp().float()
        return price if self._settings.penalty == "nodes" else price / nodes.clamp(min=1)

    def see(self, loss: Float[Tensor, ""], nodes: Float[Tensor, ""]) -> None:
        """Move after a step that had this task loss with so many nodes on.

        Nothing moves while most nodes are still on: all gates start a little open, and that
        none has closed yet says nothing about the price.
        """
        if self._settings.steer == 0:
            return
        self._loss = loss if self._loss is None else _MEMORY * self._loss + (1 - _MEMORY) * loss
        self._most = torch.maximum(self._most, nodes)
        if self._goal.k is not None:
            spare = (nodes.clamp(min=1) / self._goal.k).log2()
        else:
            spare = 1 - self._loss / (self._settings.aim * self._goal.target)
        step = self._settings.steer * spare.clamp(-1.0, 1.0)
        self._log = self._log + torch.where(2 * nodes > self._most, 0.0, step)
