"""How good bridges are, site by site, on held-out text."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn import functional as F

from circuit_sparsity.bridges.bridge import Bridges
from circuit_sparsity.bridges.hybrids import hybrid_logits, residual_streams
from circuit_sparsity.bridges.objective import nmse
from circuit_sparsity.core.model import GPT

Windows = tuple[Int[Tensor, "_ pos"], Int[Tensor, "_ pos"]]  # tokens and their targets


@dataclass(frozen=True)
class SiteScore:
    """One site; losses in nats per token."""

    site: str  # of the sparse model
    nmse_to_sparse: float
    nmse_to_dense: float
    loss_dense_to_sparse: float  # of the hybrid that ends in the sparse model
    loss_sparse_to_dense: float


@dataclass(frozen=True)
class Evaluation:
    """What the bridges of a pair are worth; losses in nats per token."""

    sites: tuple[SiteScore, ...]
    loss_sparse: float
    loss_dense: float
    tokens: int  # that this was measured on

    @property
    def worst_gap(self) -> float:
        """How far the worst hybrid is above the model that it ends in."""
        into_sparse = max(one.loss_dense_to_sparse for one in self.sites) - self.loss_sparse
        into_dense = max(one.loss_sparse_to_dense for one in self.sites) - self.loss_dense
        return max(into_sparse, into_dense)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"sites": [asdict(one) for one in self.sites]}


@torch.no_grad()
def evaluate(sparse: GPT, dense: GPT, bridges: Bridges, batches: Iterable[Windows]) -> Evaluation:
    """Scores over ``batches`` of equal windows; NMSE is the mean over batches."""
    device, pairing = sparse.device, bridges.pairing
    sums = torch.zeros(len(bridges), 4, dtype=torch.float64)
    own = torch.zeros(2, dtype=torch.float64)
    windows = tokens_seen = 0
    for tokens, targets in batches:
        tokens, targets = tokens.to(device), targets.to(device)
        ones, logits_sparse = residual_streams(sparse, tokens, pairing.sparse)
        others, logits_dense = residual_streams(dense, tokens, pairing.dense)
        own += len(tokens) * torch.tensor(
            [_loss(logits_sparse, targets), _loss(logits_dense, targets)]
        )
        for index, (bridge, (site, other_site)) in enumerate(
            zip(bridges, pairing.pairs, strict=True)
        ):
            encoded, decoded = bridge.encode(others[index]), bridge.decode(ones[index])
            sums[index] += len(tokens) * torch.tensor(
                [
                    float(nmse(encoded, ones[index])),
                    float(nmse(decoded, others[index])),
                    _loss(hybrid_logits(sparse, tokens, site, encoded), targets),
                    _loss(hybrid_logits(dense, tokens, other_site, decoded), targets),
                ]
            )
        windows, tokens_seen = windows + len(tokens), tokens_seen + tokens.numel()
    if not windows:
        raise ValueError("no text to evaluate bridges on; expected at least one window of tokens")
    rows = (sums / windows).tolist()
    scores = tuple(SiteScore(str(s), *row) for s, row in zip(pairing.sparse, rows, strict=True))
    loss_sparse, loss_dense = (own / windows).tolist()
    return Evaluation(scores, loss_sparse, loss_dense, tokens_seen)


def _loss(logits: Tensor, targets: Tensor) -> float:
    return float(F.cross_entropy(logits.float().flatten(0, 1), targets.flatten()))


def windows_of(
    tokens: Int[Tensor, " token"], length: int, batch: int, n: int | None = None
) -> list[Windows]:
    """The first ``n`` consecutive windows (all without it) with their targets, in batches."""
    count = (len(tokens) - 1) // length
    count = count if n is None else min(n, count)
    inputs = tokens[: count * length].view(count, length)
    targets = tokens[1 : count * length + 1].view(count, length)
    return list(zip(inputs.split(batch), targets.split(batch), strict=True))
