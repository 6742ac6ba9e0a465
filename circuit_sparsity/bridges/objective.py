"""What bridges are trained on: the sparse model's own loss, errors both ways, and hybrids.

Gao et al. 2025, section on bridges: the pretraining loss of the sparse model, the normalised
squared error (NMSE) of encoder and decoder summed over sites, and the KL divergence from the
dense model's output for hybrids that switch once, dense to sparse and sparse to dense. A hybrid
at every site of every sequence would cost as many passes as there are sites; here each sequence
switches at a few sites, in turn, and the mean over these stands for the sum over all.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from circuit_sparsity.bridges.bridge import Bridges, Site
from circuit_sparsity.bridges.hybrids import Entering, residual_streams
from circuit_sparsity.core.model import GPT


@dataclass(frozen=True)
class Weights:
    """How much each term counts."""

    pretraining: float = 1.0  # the sparse model's own loss
    nmse: float = 1.0  # both ways, summed over sites
    hybrids: float = 1.0  # KL from the dense output, both ways, summed over sites

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value < float("inf"):
                raise ValueError(f"the weight {name} is {value}; expected a number from 0 up")


@dataclass(frozen=True)
class Terms:
    """The terms of one batch; KL and loss in nats per token, each sum over sites."""

    pretraining: Float[Tensor, ""]
    nmse_to_sparse: Float[Tensor, ""]
    nmse_to_dense: Float[Tensor, ""]
    kl_to_sparse: Float[Tensor, ""]  # of hybrids that end in the sparse model
    kl_to_dense: Float[Tensor, ""]

    def total(self, weights: Weights) -> Float[Tensor, ""]:
        return (
            weights.pretraining * self.pretraining
            + weights.nmse * (self.nmse_to_sparse + self.nmse_to_dense)
            + weights.hybrids * (self.kl_to_sparse + self.kl_to_dense)
        )

    def values(self) -> Float[Tensor, " term"]:
        """All five, without gradient, in the order of the fields."""
        return torch.stack([x.detach().float() for x in vars(self).values()])


def nmse(
    estimate: Float[Tensor, "*batch d"], truth: Float[Tensor, "*batch d"]
) -> Float[Tensor, ""]:
    """Squared error over the squared distance of ``truth`` from its mean: 1 is no better than it.

    >>> truth = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
    >>> float(nmse(truth, truth)), float(nmse(truth.mean(0).expand(2, 2), truth))
    (0.0, 1.0)
    """
    mean = truth.mean(dim=tuple(range(truth.dim() - 1)))
    return (estimate - truth).square().sum() / (truth - mean).square().sum().clamp(min=1e-30)


def switching_rows(
    sequences: int, n_sites: int, switches: int, step: int
) -> list[Int[Tensor, " row"]]:
    """Which sequences of a batch switch at each site: ``switches`` sites a sequence, in turn.

    >>> [rows.tolist() for rows in switching_rows(3, 3, 1, step=0)]
    [[0], [2], [1]]
    """
    row = torch.arange(sequences) + step
    return [(((row + site) % n_sites) < switches).nonzero().flatten() for site in range(n_sites)]


def terms(
    sparse: GPT,
    dense: GPT,
    bridges: Bridges,
    tokens: Int[Tensor, "batch pos"],
    targets: Int[Tensor, "batch pos"],
    switches: int,
    step: int = 0,
) -> Terms:
    """The five terms on one batch; gradients reach the sparse model and the bridges.

    Each sequence switches at ``switches`` of the sites, other ones at another ``step``.
    """
    pairing = bridges.pairing
    with torch.no_grad():
        of_dense, wanted = residual_streams(dense, tokens, pairing.dense)
    wanted = wanted.float().log_softmax(dim=-1)
    rows = [r.to(tokens.device) for r in switching_rows(len(tokens), len(bridges), switches, step)]
    encoded = [bridge.encode(x) for bridge, x in zip(bridges, of_dense, strict=True)]
    of_sparse, logits = _with_hybrids(sparse, tokens, pairing.sparse, encoded, rows)
    own, hybrids = logits[: len(tokens)], logits[len(tokens) :]
    decoded = [bridge.decode(x) for bridge, x in zip(bridges, of_sparse, strict=True)]
    _, back = _with_hybrids(dense, tokens[:0], pairing.dense, decoded, rows, tokens)
    switched = torch.cat(rows)
    of_all = len(bridges)  # from the mean over hybrids to the sum over sites
    pairs_in = zip(encoded, of_sparse, strict=True)
    pairs_out = zip(decoded, of_dense, strict=True)
    return Terms(
        F.cross_entropy(own.float().flatten(0, 1), targets.flatten()),
        torch.stack([nmse(a, b) for a, b in pairs_in]).sum(),
        torch.stack([nmse(a, b) for a, b in pairs_out]).sum(),
        _kl(wanted[switched], hybrids) * of_all,
        _kl(wanted[switched], back) * of_all,
    )


def _with_hybrids(
    model: GPT,
    own: Int[Tensor, "own pos"],
    sites: Sequence[Site],
    streams: Sequence[Float[Tensor, "batch pos d_model"]],
    rows: Sequence[Int[Tensor, " row"]],
    tokens: Int[Tensor, "batch pos"] | None = None,
) -> tuple[list[Tensor], Float[Tensor, "all pos vocab"]]:
    """Residual streams of ``own`` at ``sites``; logits of ``own`` and then of all hybrids."""
    tokens = own if tokens is None else tokens
    entering = {site: x[r] for site, x, r in zip(sites, streams, rows, strict=True)}
    hook = Entering(sites, len(own), entering)
    final, _ = model.residual(own, hook)
    logits = model.unembed(final, torch.cat((own, tokens[torch.cat(list(rows))])))
    return [hook.recorded[site] for site in sites], logits


def _kl(
    wanted: Float[Tensor, "batch pos vocab"], logits: Float[Tensor, "batch pos vocab"]
) -> Float[Tensor, ""]:
    """KL divergence of softmax(``logits``) from ``wanted`` (log-probabilities), nats per token."""
    got = logits.float().log_softmax(dim=-1)
    return F.kl_div(got.flatten(0, 1), wanted.flatten(0, 1), log_target=True, reduction="batchmean")
