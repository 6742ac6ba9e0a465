"""``sample_top_k`` under the released import path."""

import torch
from jaxtyping import Float
from torch import Tensor


def sample_top_k(n: int, k: int, shape: tuple[int, ...]) -> Float[Tensor, "..."]:
    """The ``k`` of largest magnitude among ``n`` standard normal draws, as ``shape``.

    They start the weights of a matrix of ``n`` entries of which ``k`` are not zero. Draws from
    torch's generator.
    """
    if not 0 <= k <= n:
        raise ValueError(f"k is {k}; expected a number from 0 to n, which is {n}")
    drawn = torch.randn(n)
    return drawn[drawn.abs().topk(k).indices].reshape(shape)
