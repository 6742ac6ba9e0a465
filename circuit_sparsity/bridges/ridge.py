"""Bridges without training: ridge regression from one residual stream to the other.

The baseline that trained bridges are compared with, and what training starts from.
"""

from collections.abc import Iterable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuit_sparsity.bridges.bridge import Bridges, Pairing, set_bridge
from circuit_sparsity.bridges.hybrids import residual_streams
from circuit_sparsity.core.model import GPT


class Moments:
    """Sums over tokens from which the regressions both ways follow, in double precision."""

    def __init__(self, d_sparse: int, d_dense: int) -> None:
        self.d_sparse = d_sparse
        self.tokens = 0
        self.total = torch.zeros(d_sparse + d_dense, dtype=torch.float64)
        self.product = torch.zeros(d_sparse + d_dense, d_sparse + d_dense, dtype=torch.float64)

    def add(
        self, sparse: Float[Tensor, "*batch d_sparse"], dense: Float[Tensor, "*batch d_dense"]
    ) -> None:
        """Count these tokens in."""
        x = torch.cat((sparse, dense), dim=-1).flatten(0, -2).double().cpu()  # token d_both
        self.tokens += len(x)
        self.total += x.sum(dim=0)
        self.product += x.T @ x

    def solve(self, ridge: float) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Weight and bias of the encoder, and of the decoder.

        ``ridge`` is in units of the mean variance of what is regressed on.
        """
        mean = self.total / self.tokens
        covariance = self.product / self.tokens - mean[:, None] * mean[None, :]
        s, d = slice(0, self.d_sparse), slice(self.d_sparse, None)
        found = []
        for source, target in ((d, s), (s, d)):
            own = covariance[source, source]
            shift = ridge * own.diagonal().mean().clamp(min=1e-30)
            weight = torch.linalg.solve(
                own + shift * torch.eye(len(own), dtype=own.dtype), covariance[source, target]
            ).T  # target source
            found.append((weight.float(), (mean[target] - weight @ mean[source]).float()))
        return found[0], found[1]


@torch.no_grad()
def ridge_bridges(
    sparse: GPT,
    dense: GPT,
    batches: Iterable[Int[Tensor, "_ pos"]],
    pairing: Pairing,
    kept: int,
    ridge: float = 1e-5,
) -> Bridges:
    """Bridges by ridge regression over the tokens of ``batches``, without regard to the top-k.

    ``ridge`` is in units of the mean variance of what is regressed on.
    """
    widths = sparse.config.d_model, dense.config.d_model
    moments = [Moments(*widths) for _ in pairing.pairs]
    for tokens in batches:
        ones, _ = residual_streams(sparse, tokens, pairing.sparse)
        others, _ = residual_streams(dense, tokens, pairing.dense)
        for moment, one, other in zip(moments, ones, others, strict=True):
            moment.add(one, other)
    bridges = Bridges(pairing, *widths, kept)
    for bridge, moment in zip(bridges, moments, strict=True):
        set_bridge(bridge, *moment.solve(ridge))
    return bridges
