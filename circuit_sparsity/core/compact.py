"""The compact form of weights: tensors with many zeros as values and their positions."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from circuit_sparsity.kernels import SparseMatrix

_POSITIONS = "::positions"
_SHAPE = "::shape"
_COMPACT_BELOW = 0.5  # a 4-byte position beside a 4-byte value pays up to this density
_LARGEST = 1 << 26  # entries of what is made dense, rows of a matrix: far above any model's

Weights = Mapping[str, Tensor | SparseMatrix]  # by parameter name


def pack(state: Weights) -> dict[str, Tensor]:
    """Tensors with many zeros as values and flat int32 positions; the others as they are."""
    packed: dict[str, Tensor] = {}
    for name, x in state.items():
        packed |= pack_one(name, x)
    return packed


def pack_one(name: str, x: Tensor | SparseMatrix) -> dict[str, Tensor]:
    """What ``pack`` makes of one tensor."""
    if isinstance(x, SparseMatrix):
        positions = x.row_indices() * x.shape[1] + x.columns
        return _packed(name, x.values, positions, x.shape)
    if int(x.count_nonzero()) > _COMPACT_BELOW * x.numel():  # first: positions take twice as much
        return {name: x.contiguous()}
    positions = x.flatten().nonzero().flatten()
    return _packed(name, x.flatten()[positions], positions, x.shape)


def _packed(
    name: str, values: Tensor, positions: Tensor, shape: Sequence[int]
) -> dict[str, Tensor]:
    return {
        name: values,
        name + _POSITIONS: positions.to(torch.int32),
        name + _SHAPE: torch.tensor(shape, dtype=torch.int32),
    }


def unpack(packed: Mapping[str, Tensor]) -> dict[str, Tensor | SparseMatrix]:
    """The inverse of ``pack``; matrices that were stored without their zeros stay so."""
    found: dict[str, Tensor | SparseMatrix] = {}
    for name, x in packed.items():
        if name.endswith((_POSITIONS, _SHAPE)):
            continue
        found[name] = x
        if name + _POSITIONS in packed:
            shape = packed[name + _SHAPE].tolist()
            found[name] = _unpacked(name, x, packed[name + _POSITIONS].long(), shape)
    return found


def _unpacked(
    name: str, values: Tensor, positions: Tensor, shape: list[int]
) -> Tensor | SparseMatrix:
    if not all(0 < length <= _LARGEST for length in shape):
        raise ValueError(f"{name} says that its shape is {shape}; expected 1 to {_LARGEST:,}")
    size = math.prod(shape)
    ascending = bool((positions[1:] > positions[:-1]).all())
    inside = not len(positions) or (int(positions[0]) >= 0 and int(positions[-1]) < size)
    if not (ascending and inside and len(positions) == len(values)):
        raise ValueError(f"{name} holds positions that do not fit its shape {shape}")
    if len(shape) == 2:
        rows, columns = positions // shape[1], positions % shape[1]
        return SparseMatrix.from_entries(rows, columns, values, (shape[0], shape[1]))
    if size > _LARGEST:
        raise ValueError(
            f"{name} says that its shape is {shape}; expected {_LARGEST:,} entries at most"
        )
    dense = torch.zeros(shape, dtype=values.dtype)
    dense.view(-1)[positions] = values
    return dense
