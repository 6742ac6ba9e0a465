"""``Ranking``: the nodes from the one to keep first to the one to keep last."""

from dataclasses import dataclass
from functools import cached_property

from jaxtyping import Float, Int
from torch import Tensor

from circuit_sparsity.pruning.settings import PruneSettings


@dataclass(frozen=True)
class Moment:
    """A line of a run's history."""

    step: int  # optimiser steps done
    loss: float  # of the masked model on the prompts of that step, in nats per sequence
    nodes: int  # nodes on


@dataclass(frozen=True, eq=False)
class Ranking:
    """One score for each node: the circuit of n nodes is the n best, so circuits are nested."""

    scores: Float[Tensor, " node"]
    suggested: int  # nodes on when the search ended; where the bisection looks first
    settings: PruneSettings
    history: tuple[Moment, ...]
    seconds: float

    @cached_property
    def order(self) -> Int[Tensor, " node"]:
        """Nodes by falling score; of equal ones, the one computed first comes first."""
        return self.scores.argsort(descending=True, stable=True)
