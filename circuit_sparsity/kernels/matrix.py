"""A weight matrix that keeps only what is not zero."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int, Int32
from torch import Tensor

# Tokens from which a row holds, and the density under which compressed rows win there. Measured
# (see docs/LOG.md), then lowered: other machines have faster dense products than that one, and
# from 1/4 on compressed rows with their transposed form take as much memory as the dense matrix.
_CROSSOVER = ((1, 1 / 8), (16, 1 / 4), (64, 1 / 3))
_SMALL = 1 << 19  # entries of a matrix so small that for a few tokens calling costs the most


def prefer_sparse(density: float, tokens: int, shape: tuple[int, int]) -> bool:
    """Whether ``sparse_linear`` beats a dense product of a matrix of ``shape`` on a CPU.

    >>> prefer_sparse(1 / 1024, tokens=256, shape=(8192, 2048))
    True
    >>> prefer_sparse(1 / 2, tokens=256, shape=(8192, 2048))
    False
    """
    if tokens < 16 and shape[0] * shape[1] < _SMALL:
        return False
    limit = max((density for least, density in _CROSSOVER if tokens >= least), default=0.0)
    return density < limit


@dataclass(frozen=True, eq=False)
class SparseMatrix:
    """Compressed rows: row r holds entries ``starts[r]:starts[r + 1]`` of columns and values.

    Columns ascend within a row, and no entry is stored twice. A stored value may be 0.
    """

    starts: Int32[Tensor, " rows_and_end"]
    columns: Int32[Tensor, " nonzero"]
    values: Float[Tensor, " nonzero"]
    shape: tuple[int, int]

    @staticmethod
    def from_dense(weight: Float[Tensor, "rows columns"]) -> "SparseMatrix":
        """Keep the nonzero entries of ``weight``.

        >>> matrix = SparseMatrix.from_dense(torch.tensor([[0.0, 2.0], [0.0, 0.0]]))
        >>> matrix.nonzero, matrix.columns.tolist(), matrix.values.tolist()
        (1, [1], [2.0])
        """
        weight = weight.detach()
        rows, columns = weight.nonzero(as_tuple=True)
        shape = (weight.shape[0], weight.shape[1])
        return _compressed(rows, columns, weight[rows, columns], shape)

    @staticmethod
    def from_entries(
        rows: Int[Tensor, " nonzero"],
        columns: Int[Tensor, " nonzero"],
        values: Float[Tensor, " nonzero"],
        shape: tuple[int, int],
    ) -> "SparseMatrix":
        """From coordinates in any order; entries given twice are added up.

        >>> one, two = torch.tensor([1, 1]), torch.tensor([2, 2])
        >>> SparseMatrix.from_entries(one, two, torch.tensor([3.0, 4.0]), (2, 3)).dense()
        tensor([[0., 0., 0.],
                [0., 0., 7.]])
        """
        for name, index, bound in (("row", rows, shape[0]), ("column", columns, shape[1])):
            if index.numel() and not (int(index.min()) >= 0 and int(index.max()) < bound):
                raise ValueError(
                    f"SparseMatrix: {name} indices run from {int(index.min())} to "
                    f"{int(index.max())}, but the shape {shape} allows 0 to {bound - 1}"
                )
        flat, place = (rows.long() * shape[1] + columns.long()).unique(return_inverse=True)
        summed = torch.zeros(len(flat), dtype=values.dtype).index_add_(0, place, values.detach())
        width = max(shape[1], 1)
        return _compressed(flat // width, flat % width, summed, shape)

    @property
    def nonzero(self) -> int:
        """How many entries are stored."""
        return self.values.numel()

    @property
    def density(self) -> float:
        """The stored share of all entries; 0 for a matrix without any."""
        return self.nonzero / max(self.shape[0] * self.shape[1], 1)

    @property
    def bytes(self) -> int:
        """Memory of the arrays, those of the transposed form included once it was asked for."""
        own = sum(t.numel() * t.element_size() for t in (self.starts, self.columns, self.values))
        other = self.__dict__.get("transposed")
        if other is None or other.__dict__.get("transposed") is not self:
            return own
        return own + sum(
            t.numel() * t.element_size() for t in (other.starts, other.columns, other.values)
        )

    def row_indices(self) -> Int[Tensor, " nonzero"]:
        """The row of every stored entry, in order."""
        rows = torch.arange(self.shape[0])
        return rows.repeat_interleave((self.starts[1:] - self.starts[:-1]).long())

    def dense(self) -> Float[Tensor, "rows columns"]:
        """The matrix with its zeros."""
        weight = torch.zeros(self.shape)
        weight[self.row_indices(), self.columns.long()] = self.values
        return weight

    @cached_property
    def transposed(self) -> "SparseMatrix":
        """The same entries by column, built on first use: what a gradient multiplies with."""
        order = self.columns.argsort(stable=True)
        rows = self.row_indices()[order]
        shape = (self.shape[1], self.shape[0])
        other = _compressed(self.columns.long()[order], rows, self.values[order], shape)
        other.__dict__["transposed"] = self
        return other

    def rows(self, start: int, stop: int) -> "SparseMatrix":
        """The rows ``start`` to ``stop``; the values are shared.

        >>> SparseMatrix.from_dense(torch.eye(3)).rows(1, 2).dense()
        tensor([[0., 1., 0.]])
        """
        first, last = (int(self.starts[row]) for row in (start, stop))
        starts = self.starts[start : stop + 1] - first
        columns, values = self.columns[first:last], self.values[first:last]
        return SparseMatrix(starts, columns, values, (stop - start, self.shape[1]))

    def take_rows(self, index: Int[Tensor, " taken"]) -> Float[Tensor, "taken columns"]:
        """Dense rows, in the order asked for.

        >>> SparseMatrix.from_dense(torch.eye(2)).take_rows(torch.tensor([1, 1, 0]))
        tensor([[0., 1.],
                [0., 1.],
                [1., 0.]])
        """
        first, last = self.starts[index].long(), self.starts[index + 1].long()
        counts = last - first
        which = torch.arange(len(index)).repeat_interleave(counts)
        before = counts.cumsum(0) - counts
        entry = torch.arange(len(which)) - (before - first)[which]
        taken = torch.zeros(len(index), self.shape[1])
        taken[which, self.columns[entry].long()] = self.values[entry]
        return taken

    def select(
        self, rows: Int[Tensor, " kept_rows"], columns: Int[Tensor, " kept_columns"]
    ) -> "SparseMatrix":
        """The submatrix of these rows and columns, numbered in the order given.

        >>> matrix = SparseMatrix.from_dense(torch.tensor([[1.0, 2.0], [3.0, 0.0]]))
        >>> matrix.select(torch.tensor([1, 0]), torch.tensor([0])).dense()
        tensor([[3.],
                [1.]])
        """
        new_row = torch.full((self.shape[0],), -1)
        new_row[rows] = torch.arange(len(rows))
        new_column = torch.full((self.shape[1],), -1)
        new_column[columns] = torch.arange(len(columns))
        row, column = new_row[self.row_indices()], new_column[self.columns.long()]
        kept = (row >= 0) & (column >= 0)
        shape = (len(rows), len(columns))
        return SparseMatrix.from_entries(row[kept], column[kept], self.values[kept], shape)

    def tensors(self) -> dict[str, Tensor]:
        """What a file needs; columns in 16 bits where they fit."""
        small = self.shape[1] <= 1 << 16
        return {
            "starts": self.starts,
            "columns": self.columns.to(torch.uint16) if small else self.columns,
            "values": self.values,
            "shape": torch.tensor(self.shape),
        }

    @staticmethod
    def from_tensors(tensors: Mapping[str, Tensor]) -> "SparseMatrix":
        """The inverse of ``tensors``; refuses arrays that do not fit together."""
        missing = {"starts", "columns", "values", "shape"} - tensors.keys()
        if missing:
            raise ValueError(f"SparseMatrix: {sorted(missing)} missing, got {sorted(tensors)}")
        rows, width = (int(size) for size in tensors["shape"])
        starts, columns = tensors["starts"].to(torch.int32), tensors["columns"].to(torch.int32)
        values = tensors["values"].to(torch.float32)
        steps = starts[1:] - starts[:-1]
        fits = (
            starts.shape == (rows + 1,)
            and columns.shape == values.shape == (int(starts[-1]),)
            and int(starts[0]) == 0
            and bool((steps >= 0).all())
            and bool(((columns >= 0) & (columns < width)).all())
        )
        if not fits:
            raise ValueError(
                f"SparseMatrix: arrays of a {rows} x {width} matrix do not fit together: "
                f"{starts.numel()} starts, {columns.numel()} columns, {values.numel()} values; "
                "the file is damaged or not a compressed matrix"
            )
        return SparseMatrix(starts, columns, values, (rows, width))


def _compressed(
    rows: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, int]
) -> SparseMatrix:
    """From coordinates sorted by row, then column."""
    if values.numel() >= 1 << 31:
        raise ValueError(f"SparseMatrix: {values.numel()} entries; at most 2**31 - 1 are possible")
    counts = torch.bincount(rows, minlength=shape[0])
    starts = torch.zeros(shape[0] + 1, dtype=torch.int32)
    starts[1:] = counts.cumsum(0)
    return SparseMatrix(
        starts,
        columns.to(torch.int32).contiguous(),
        values.to(torch.float32).contiguous(),
        shape,
    )
