"""What a pruning is asked for, and the price on nodes that leads there."""

import math
from dataclasses import dataclass

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

    def __init__(self, goal: Goal, settings: PruneSettings) -> None:
        self._goal, self._settings = goal, settings
        self._log = math.log(settings.k_coef) if settings.k_coef else -math.inf
        self._loss: float | None = None
        self._most = 0  # nodes that were ever on

    @property
    def k_coef(self) -> float:
        return math.exp(self._log)

    def per_node(self, nodes: int) -> float:
        """What one more node costs: the derivative of the penalty by the number of nodes on."""
        if self._settings.penalty == "nodes":
            return self.k_coef
        return self.k_coef / max(nodes, 1)

    def see(self, loss: float, nodes: int) -> None:
        """Move after a step that had this task loss with so many nodes on.

        Nothing moves while most nodes are still on: all gates start a little open, and that
        none has closed yet says nothing about the price.
        """
        if self._settings.steer == 0:
            return
        self._loss = loss if self._loss is None else _MEMORY * self._loss + (1 - _MEMORY) * loss
        self._most = max(self._most, nodes)
        if 2 * nodes > self._most:
            return
        if self._goal.k is not None:
            spare = math.log2(max(nodes, 1) / self._goal.k)
        else:
            spare = 1 - self._loss / (self._settings.aim * self._goal.target)
        self._log += self._settings.steer * max(-1.0, min(1.0, spare))
