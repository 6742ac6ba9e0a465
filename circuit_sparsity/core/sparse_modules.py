"""Stand-ins for ``nn.Linear`` and ``nn.Embedding`` that keep only the weights that are not zero."""

from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from circuit_sparsity.kernels import SparseMatrix, from_panels, sparse_linear, to_panels


class _Compressed(nn.Module):
    """A module whose ``weight`` is a compressed matrix."""

    def __init__(self, matrix: SparseMatrix) -> None:
        super().__init__()
        self.matrix = matrix

    @property
    def weight(self) -> Float[Tensor, "rows columns"]:
        """The dense matrix, made anew each time it is asked for: for small single uses."""
        return nn.Parameter(self.matrix.dense(), requires_grad=False)

    def _apply(self, fn: Any, recurse: bool = True) -> nn.Module:
        moved = fn(torch.empty(0))
        if moved.device.type != "cpu" or moved.dtype is not torch.float32:
            raise ValueError(
                f"compressed weights compute in float32 on a CPU, not in {moved.dtype} on "
                f'{moved.device}: load the model with engine="dense" to move it'
            )
        return super()._apply(fn, recurse)

    def _save_to_state_dict(self, destination: dict, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[f"{prefix}weight"] = self.weight.detach()


class SparseLinear(_Compressed):
    """``x @ weight.T + bias``; there is a gradient for x and none for the weights."""

    bias: nn.Parameter | None

    def __init__(self, matrix: SparseMatrix, bias: Float[Tensor, " rows"] | None) -> None:
        super().__init__(matrix)
        self.out_features, self.in_features = matrix.shape
        given = None if bias is None else nn.Parameter(bias, requires_grad=False)
        self.register_parameter("bias", given)

    def forward(self, x: Float[Tensor, "*batch columns"]) -> Float[Tensor, "*batch rows"]:
        panels = sparse_linear(to_panels(x.reshape(-1, self.in_features)), self.matrix, self.bias)
        return from_panels(panels, x.shape[:-1].numel()).view(*x.shape[:-1], -1)

    @cached_property
    def three(self) -> list[tuple[SparseMatrix, Tensor | None]]:
        """The thirds of the rows, with their biases."""
        third = self.out_features // 3
        parts = []
        for start in (0, third, 2 * third):
            bias = None if self.bias is None else self.bias[start : start + third]
            parts.append((self.matrix.rows(start, start + third), bias))
        return parts


class SparseEmbedding(_Compressed):
    """Rows of a compressed matrix."""

    def forward(self, idx: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch columns"]:
        return self.matrix.take_rows(idx.reshape(-1)).view(*idx.shape, -1)


def compressed(module: nn.Module) -> SparseMatrix:
    """The weight of a linear map or an embedding as a compressed matrix, whichever engine it has.

    For a compressed module this is its own matrix: nothing is copied.
    """
    if isinstance(module, _Compressed):
        return module.matrix
    weight = module.weight
    assert isinstance(weight, Tensor), f"{type(module).__name__} has no weight"
    return SparseMatrix.from_dense(weight.detach().cpu())
