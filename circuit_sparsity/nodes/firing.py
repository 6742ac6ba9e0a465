"""On what a node fires: its activations on a text, counted, by token and at quantiles."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuit_sparsity.experiment.documents import DOCS_A_SIDE, at_quantile
from circuit_sparsity.release.values import QUANTILES, Extremes

SEEN = 5  # times a token must occur before its mean says anything
_BINS = 60


@dataclass(frozen=True)
class TokenMean:
    """How a node answers one token on average."""

    token: int
    mean: float
    count: int


@dataclass(frozen=True)
class Counts:
    """A histogram of what is not exactly zero; bin i goes from ``edges[i]`` to ``edges[i + 1]``."""

    edges: Sequence[float]
    counts: Sequence[int]
    zeros: int
    total: int

    @property
    def share_of_zeros(self) -> float:
        return self.zeros / self.total if self.total else 0.0


@dataclass(frozen=True, eq=False)
class Firing:
    """One node on every token of a text. ``real`` is False where a shorter text is padded."""

    tokens: Int[Tensor, "text pos"]
    activations: Float[Tensor, "text pos"]
    real: Bool[Tensor, "text pos"] | None = None

    @cached_property
    def values(self) -> Float[Tensor, " token"]:
        """The activations on real tokens, text by text."""
        return self._real(self.activations).float()

    @property
    def mean(self) -> float:
        return float(self.values.mean())

    @cached_property
    def counts(self) -> Counts:
        """How many activations lie where, exact zeros apart."""
        moved = self.values[self.values != 0]
        zeros = len(self.values) - len(moved)
        if not len(moved):
            return Counts((), (), zeros, len(self.values))
        low, high = float(moved.min()), float(moved.max())
        if low == high:
            low, high = low - 0.5, high + 0.5
        edges = torch.linspace(low, high, _BINS + 1)
        counts = torch.histc(moved, _BINS, low, high).int().tolist()
        return Counts(edges.tolist(), counts, zeros, len(self.values))

    def by_token(self, most: int | None = None, seen: int = SEEN) -> tuple[TokenMean, ...]:
        """Tokens that occur at least ``seen`` times, furthest from the overall mean first."""
        tokens = self._real(self.tokens).long()
        size = int(tokens.max()) + 1 if len(tokens) else 0
        count = torch.bincount(tokens, minlength=size)
        total = torch.zeros(size, dtype=torch.float64)
        total.index_add_(0, tokens, self.values.double())
        often = (count >= seen).nonzero().flatten()
        means = total[often] / count[often]
        order = (means - self.mean).abs().argsort(descending=True, stable=True)[:most]
        return tuple(
            TokenMean(int(often[i]), float(means[i]), int(count[often[i]])) for i in order.tolist()
        )

    def extremes(
        self, quantiles: Iterable[float] = QUANTILES, docs: int = DOCS_A_SIDE
    ) -> dict[float, Extremes]:
        """The texts around the tokens at each quantile from the top and from the bottom.

        As the release chooses them (`release.documents`): for texts of one length, unpadded.
        """
        assert self.real is None, "padding would be ranked too"
        return {q: at_quantile(self.tokens, self.activations, q, docs) for q in quantiles}

    def _real(self, x: Tensor) -> Tensor:
        return x.flatten() if self.real is None else x[self.real]
