"""Keep the largest weights of a matrix, and enough of them in every row or column."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuit_sparsity.sparse import top_k_mask_flat


def alive_mask(
    weight: Float[Tensor, "row column"], k: int, at_least: int = 0, along: int = 1
) -> Bool[Tensor, "row column"]:
    """Which ``k`` entries stay: the largest in magnitude, but ``at_least`` so many in each line.

    ``along=1`` protects rows, ``along=0`` columns. Each line's protected entries are its own
    largest; the rest of the budget goes to the largest of all others. Where ``k`` is too small to
    protect every line, fewer (possibly none) are protected, so that exactly ``k`` stay.

    >>> weight = torch.tensor([[9.0, 8.0, 7.0], [0.3, 0.2, 0.1]])
    >>> alive_mask(weight, 3).int().tolist()
    [[1, 1, 1], [0, 0, 0]]
    >>> alive_mask(weight, 3, at_least=1).int().tolist()
    [[1, 1, 0], [1, 0, 0]]
    """
    if k >= weight.numel():
        return torch.ones_like(weight, dtype=torch.bool)
    lines = weight.shape[1 - along]
    protect = min(at_least, k // lines, weight.shape[along])
    mask = top_k_mask_flat(weight, k)
    if protect == 0 or bool((mask.sum(dim=along) >= protect).all()):
        return mask
    best = weight.abs().topk(protect, dim=along).indices
    protected = torch.zeros_like(weight, dtype=torch.bool).scatter_(along, best, True)
    # Protected entries outrank every other, then magnitude decides.
    lifted = weight.abs() + protected * (weight.abs().max() + 1)
    return top_k_mask_flat(lifted, k)
