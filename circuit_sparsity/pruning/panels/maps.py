"""A linear map between what is left of two locations: constants in its bias, their columns gone."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuit_sparsity.circuits.edges import bias_of, matrix_between
from circuit_sparsity.model import GPT
from circuit_sparsity.names import Location
from circuit_sparsity.sparse import Activation, SparseMatrix, sparse_linear

Panels = Float[Tensor, "_ _ 16"]


@dataclass(frozen=True, eq=False)
class PanelMap:
    """``matrix @ x + bias``, then the activation."""

    matrix: SparseMatrix
    bias: Float[Tensor, " rows"] | None
    activation: Activation = "none"

    def __call__(self, x: Panels) -> Panels:
        return sparse_linear(x, self.matrix, self.bias, self.activation)

    def left(
        self,
        rows: Int[Tensor, " rows_left"] | None,
        columns: Bool[Tensor, " columns"],
        means: Float[Tensor, " columns"],
    ) -> "PanelMap":
        """The map from ``columns`` alone, all others at their means; of ``rows`` if given."""
        matrix, bias = self.matrix, self.bias
        if bool(columns.all()) and rows is None:
            return self
        held = means.masked_fill(columns, 0.0)[:, None]
        bias = sparse_linear(held, matrix, bias)[:, 0]
        rows = torch.arange(matrix.shape[0]) if rows is None else rows
        matrix = matrix.select(rows, columns.nonzero().flatten())
        return PanelMap(matrix, bias[rows], self.activation)


def map_between(
    model: GPT, source: Location, target: Location, activation: Activation = "none"
) -> PanelMap:
    """The whole map of a model between two locations of one block."""
    bias = bias_of(model, target)
    bias = None if bias is None else bias.detach()
    return PanelMap(matrix_between(model, source, target), bias, activation)


def taken(alive: Bool[Tensor, " width"]) -> SparseMatrix | None:
    """What takes the channels that are ``alive`` out of all; None where that is all of them."""
    if bool(alive.all()):
        return None
    index = alive.nonzero().flatten()
    rows, shape = torch.arange(len(index)), (len(index), len(alive))
    return SparseMatrix.from_entries(rows, index, torch.ones(len(index)), shape)
