"""What a model's own weights say of tokens and positions, without running it."""

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from circuit_sparsity.model import GPT

Side = Literal["embedding", "unembedding"]


def matrix(model: GPT, side: Side) -> Float[Tensor, "vocab d_model"]:
    """What each token writes to the residual stream, or what each token's logit reads of it.

    The unembedding is taken as it is: the last norm's gain stands before it and is no part of it.
    """
    return model.transformer.wte.weight if side == "embedding" else model.lm_head.weight  # type: ignore[return-value]


def strongest(
    weights: Float[Tensor, " n"], most: int | None = None
) -> tuple[tuple[int, float], ...]:
    """(index, weight) of the nonzero entries, largest magnitude first.

    >>> from torch import tensor
    >>> strongest(tensor([0.5, 0.0, -2.0]))
    ((2, -2.0), (0, 0.5))
    """
    order = weights.abs().sort(descending=True, stable=True).indices
    kept = order[: int((weights != 0).sum())][:most]
    return tuple(zip(kept.tolist(), weights[kept].tolist(), strict=True))


@dataclass(frozen=True, eq=False)
class Positions:
    """What the model adds to, or puts beside, the residual stream at each position."""

    values: Float[Tensor, "pos channel"]
    channels: tuple[int, ...]  # of each column, as nodes of an ``act_in`` are numbered
    added: bool  # to residual channels; else concatenated behind them


def positions(model: GPT) -> Positions:
    """The position embedding, columns that are zero at every position left out.

    An added column is residual channel c; a concatenated one is read as channel ``d_model`` + c.
    """
    table = model.get_parameter("transformer.wpe.weight").detach()
    used = table.abs().sum(0).nonzero().flatten()
    first = model.config.d_model if model.config.d_pos_emb else 0
    channels = tuple((used + first).tolist())
    return Positions(table[:, used], channels, added=not model.config.d_pos_emb)


def bigrams(model: GPT) -> Float[Tensor, "vocab vocab"] | None:
    """What the last token alone adds to each next token's logit; None without a table."""
    return model.bigram_table.detach() if model.config.enable_bigram_table else None
