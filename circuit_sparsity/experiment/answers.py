"""Which two tokens a stored task asks about, worked out from a model's own answers."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

_CANDIDATES = 48  # likeliest tokens of each half that are tried against each other
_ENTRIES = 8_000_000  # of a block of margins, 32 MB


def best_separating_pair(logits: Float[Tensor, "prompt vocab"]) -> tuple[int, int]:
    """The two tokens whose two-way loss over the prompts is the lowest.

    The first answers the first half of the prompts, the second the second half. Tried are the
    tokens that either half finds likeliest, which a model that solves the task answers with.
    Raises ValueError when there are no two halves.
    """
    half = len(logits) // 2
    if half == 0 or len(logits) % 2:
        raise ValueError(f"{len(logits)} prompts have no two equal halves; give both answers")
    chances = logits.softmax(dim=-1)
    one = chances[:half].mean(0).topk(min(_CANDIDATES, logits.shape[1])).indices
    two = chances[half:].mean(0).topk(min(_CANDIDATES, logits.shape[1])).indices
    margin = logits[:, one, None] - logits[:, None, two]  # prompt one two
    losses = F.softplus(-margin[:half]).mean(0) + F.softplus(margin[half:]).mean(0)
    losses[one[:, None] == two[None, :]] = torch.inf
    row, column = divmod(int(losses.argmin()), losses.shape[1])
    return int(one[row]), int(two[column])


def oriented(logits: Float[Tensor, "prompt vocab"], pair: tuple[int, int]) -> tuple[int, int]:
    """``pair``, turned so that its first token answers the first half of the prompts better."""
    half = len(logits) // 2
    margin = logits[:, pair[0]] - logits[:, pair[1]]
    straight = F.softplus(-margin[:half]).mean() + F.softplus(margin[half:]).mean()
    turned = F.softplus(margin[:half]).mean() + F.softplus(-margin[half:]).mean()
    return pair if straight <= turned else (pair[1], pair[0])


def pairs_of_loss(
    logits: Float[Tensor, "prompt vocab"], loss: float, tolerance: float
) -> Int[Tensor, "pair 2"]:
    """Every pair of tokens whose mean two-way loss over the prompts is ``loss``, in nats.

    The first of a pair answers the first half of the prompts, the second the second half.
    """
    prompts, n_vocab = logits.shape
    sign = torch.ones(prompts, 1, 1)
    sign[: prompts // 2] = -1  # softplus(-margin) where the first token is right
    block = max(1, _ENTRIES // max(1, prompts * n_vocab))
    found = []
    for start in range(0, n_vocab, block):
        margin = logits[:, start : start + block, None] - logits[:, None]  # prompt block vocab
        losses = F.softplus(sign * margin).mean(0)
        near = ((losses - loss).abs() <= tolerance).nonzero()
        found.append(near + torch.tensor([start, 0]))
    pairs = torch.cat(found)
    return pairs[pairs[:, 0] != pairs[:, 1]]


def pair_of_losses(
    of_model: tuple[Float[Tensor, "prompt vocab"], float],
    of_circuit: tuple[Float[Tensor, "prompt vocab"], float],
    tolerance: float,
) -> tuple[int, int] | None:
    """The pair of tokens that gives both losses, from the logits of each; None without one."""
    (logits, loss), (masked, circuit_loss) = of_model, of_circuit
    tried = pairs_of_loss(logits, loss, tolerance)
    if not len(tried):
        return None
    margins = masked[:, tried[:, 0]] - masked[:, tried[:, 1]]  # prompt pair
    margins[len(margins) // 2 :] *= -1
    apart = (F.softplus(-margins).mean(0) - circuit_loss).abs()
    best = int(apart.argmin())
    if float(apart[best]) > tolerance:
        return None
    first, second = tried[best].tolist()
    return first, second
