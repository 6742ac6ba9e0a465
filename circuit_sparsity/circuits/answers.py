"""Which two tokens a stored task asks about, worked out from a model's own answers."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

_CANDIDATES = 48  # likeliest tokens of each half that are tried against each other


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
