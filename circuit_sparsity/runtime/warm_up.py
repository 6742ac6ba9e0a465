"""Compile every kernel before it is needed."""

from collections.abc import Callable, Iterator

import numpy as np
import torch

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.circuits.means import zeros
from circuit_sparsity.core.model import GPT, GPTConfig
from circuit_sparsity.core.names import circuit_locations
from circuit_sparsity.kernels import keep_freed_memory
from circuit_sparsity.kernels.attention import attend_panels, token_bounds
from circuit_sparsity.kernels.elementwise import add_panels
from circuit_sparsity.kernels.layer import Layer, Read, Write, as_map, run_layer
from circuit_sparsity.kernels.matrix import SparseMatrix
from circuit_sparsity.kernels.norm import norm_panels
from circuit_sparsity.kernels.panels import from_panels, to_panels
from circuit_sparsity.kernels.product import sparse_linear
from circuit_sparsity.kernels.topk import abs_top_k, top_k_mask_flat
from circuit_sparsity.kernels.topk_channels import abs_top_k_panels
from circuit_sparsity.runtime.compiled.compile import compile_circuit


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


def compile_kernels(progress: Callable[[int, int], None] | None = None) -> None:
    """Compile, or load what an earlier process compiled; ``progress(done, of)`` after each.

    A minute in a fresh installation, a second after that.
    """
    uses = list(_uses())
    for done, use in enumerate(uses, start=1):
        use()
        if progress is not None:
            progress(done, len(uses))


def compile_circuit_kernels() -> None:
    """Run a small circuit once. Half a minute in a fresh installation, then next to nothing."""
    config = GPTConfig(
        block_size=4, vocab_size=4, n_layer=1, n_head=1, d_head=2, d_model=4, d_mlp=4,
        rms_norm=True, tied_unembed=False, afrac=0.5, afrac_loctypes="attn_in,mlp_neuron",
        sink=True,
    )  # fmt: skip
    model = GPT(config).requires_grad_(False).eval()
    nodes = {place: tuple(range(config.width(place))) for place in circuit_locations(1)}
    circuit = Circuit(nodes, "warm", "up", "", "")
    run = compile_circuit(circuit, model, zeros(config)).on(_TwoPrompts())
    run.margins_without([[circuit.node_list[0]]])


class _TwoPrompts:
    """Two prompts of two tokens."""

    tokens = torch.tensor([[0, 1], [0, 2]])
    last = torch.tensor([1, 1])
    right = torch.tensor([0, 1])
    wrong = torch.tensor([1, 0])


def warm_up() -> None:
    """Compile what models and circuits compute with; a second once it is on disk.

    In a fresh installation it is half a minute of processor time.
    """
    keep_freed_memory()
    compile_kernels()
    compile_circuit_kernels()


if __name__ == "__main__":
    warm_up()
