"""What a node adds to each next token's logit by the shortest way: last norm, then unembedding."""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from circuit_sparsity.core.model import GPT
from circuit_sparsity.core.names import Node
from circuit_sparsity.nodes.weights import written

VocabularyMatrix = Literal["embedding", "unembedding"]


def matrix(model: GPT, which: VocabularyMatrix) -> Float[Tensor, "vocab d_model"]:
    """What each token writes to the residual stream, or what each token's logit reads of it.

    The unembedding is taken as it is: the last norm's gain stands before it and is no part of it.
    """
    if which not in get_args(VocabularyMatrix):
        raise ValueError(f"got {which!r}; expected one of {', '.join(get_args(VocabularyMatrix))}")
    return model.transformer.wte.weight if which == "embedding" else model.lm_head.weight  # type: ignore[return-value]


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
    """What the model adds to, or joins to, the residual stream at each position."""

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


IGNORED = (
    "the last norm's division by the size of the residual stream, one number for all tokens of a "
    "position",
    "everything that later blocks do with what is written",
    "activation top-k",
    "biases and the bigram table, which do not depend on the node",
)


@torch.no_grad()
def direct_effect(model: GPT, node: Node) -> Float[Tensor, " vocab"] | None:
    """Logits that one unit of ``node`` adds through the gain of ``ln_f`` and the unembedding.

    The logit lens of what it writes (nostalgebraist 2020), with `IGNORED` left out. None for a
    node that writes nothing to the residual stream.
    """
    direction = written(model, node)
    if direction is None:
        return None
    if not model.config.rms_norm:
        direction = direction - direction.mean()  # LayerNorm centres before its gain
    gain = model.get_parameter("transformer.ln_f.weight").float().cpu()
    return matrix(model, "unembedding").detach().float().cpu() @ (gain * direction)
