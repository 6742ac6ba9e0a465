"""Compile every kernel before it is needed."""

from collections.abc import Callable, Iterator

import numpy as np
import torch

from circuit_sparsity.sparse.attention import attend_panels, token_bounds
from circuit_sparsity.sparse.elementwise import add_panels
from circuit_sparsity.sparse.layer import Layer, Read, Write, as_map, run_layer
from circuit_sparsity.sparse.matrix import SparseMatrix
from circuit_sparsity.sparse.norm import norm_panels
from circuit_sparsity.sparse.panels import from_panels, to_panels
from circuit_sparsity.sparse.product import sparse_linear
from circuit_sparsity.sparse.topk import abs_top_k, top_k_mask_flat
from circuit_sparsity.sparse.topk_channels import abs_top_k_panels


def _uses() -> Iterator[Callable[[], object]]:
    matrix = SparseMatrix.from_dense(torch.eye(2))
    panels = torch.ones(1, 2, 16)
    for kind in (torch.float32, torch.bfloat16):
        rows = torch.ones(1, 2, dtype=kind)
        yield lambda rows=rows: abs_top_k(rows, 1)
        yield lambda rows=rows: top_k_mask_flat(rows, 1)
    yield lambda: to_panels(torch.ones(1, 2))
    yield lambda: from_panels(panels, 1)
    yield lambda: sparse_linear(panels, matrix)
    yield lambda: abs_top_k_panels(panels, 1)
    yield lambda: _backward(lambda x: norm_panels(x, torch.ones(2)))
    yield lambda: _backward(lambda x: attend_panels(x, x, x, None, _BOUNDS, 1))
    yield lambda: _backward(lambda x: abs_top_k_panels(sparse_linear(x, matrix, None, "gelu"), 1))
    yield lambda: _backward(lambda x: add_panels(x, x))
    yield lambda: run_layer(_small_layer(matrix), panels, (panels[:, :0], panels[:, :0]), _BOUNDS)


_BOUNDS = token_bounds(1, 16)


def _backward(use: Callable[[torch.Tensor], torch.Tensor]) -> None:
    use(torch.ones(1, 2, 16, requires_grad=True)).sum().backward()


def _small_layer(matrix: SparseMatrix) -> Layer:
    ones = np.ones(2, np.float32)
    read, write = Read(ones, ones, False, np.float32(1.0), -1), Write(False, -1)
    into = as_map(matrix, None, None)
    sink = torch.zeros(1)
    return Layer(
        2, 1, None, sink, read, into, into, into, into, write, read, into, "gelu", into, write
    )


def warm_up(progress: Callable[[int, int], None] | None = None) -> None:
    """Compile, or load what an earlier process compiled; ``progress(done, of)`` after each.

    A minute in a fresh installation, a second after that.
    """
    uses = list(_uses())
    for done, use in enumerate(uses, start=1):
        use()
        if progress is not None:
            progress(done, len(uses))
