"""Random models in the released shapes and densities, dense and compressed."""

from dataclasses import dataclass

import torch

from circuit_sparsity.core.checkpoint import expected_shapes
from circuit_sparsity.core.model import GPT, GPTConfig
from circuit_sparsity.kernels import SparseMatrix
from circuit_sparsity.runtime.assemble import Engine, assemble

EVERY_TOP_K = "attn_in,attn_q,attn_k,attn_v,attn_out,mlp_in,mlp_neuron,mlp_out"
_LEARNED = {
    "enable_bigram_table": True,
    "learnable_bigram_table": True,
    "rms_norm": True,
    "tied_unembed": False,
}


@dataclass(frozen=True)
class Shape:
    """A released model's configuration and the share of its weights that is not zero."""

    name: str
    config: GPTConfig
    density: float


YOLO1 = Shape(
    "csp_yolo1",
    GPTConfig(1024, 2048, 12, 128, 8, 1024, d_mlp=4096, **_LEARNED),
    1 / 256,
)
YOLO2 = Shape(
    "csp_yolo2",
    GPTConfig(
        1024, 2048, 8, 128, 16, 2048, d_mlp=8192, afrac=0.25, afrac_loctypes=EVERY_TOP_K,
        d_pos_emb=32, sink=True, **_LEARNED,
    ),
    1 / 1024,
)  # fmt: skip


def random_weights(shape: Shape, seed: int = 0) -> dict[str, torch.Tensor | SparseMatrix]:
    """Weights of unit scale: every activation stays in the range that a trained model has."""
    generator = torch.Generator().manual_seed(seed)
    found: dict[str, torch.Tensor | SparseMatrix] = {}
    for name, size in expected_shapes(shape.config).items():
        if name.endswith(".weight") and len(size) == 2 and "wpe" not in name:
            found[name] = _matrix(size[0], size[1], shape.density, generator)
        elif name.endswith("weight") and len(size) == 1:
            found[name] = torch.ones(size)
        else:
            found[name] = 0.1 * torch.randn(size, generator=generator)
    return found


def _matrix(rows: int, columns: int, density: float, generator: torch.Generator) -> SparseMatrix:
    count = max(1, round(rows * columns * density))
    flat = torch.randint(rows * columns, (count,), generator=generator)
    values = torch.randn(count, generator=generator) * (columns * density) ** -0.5
    return SparseMatrix.from_entries(flat // columns, flat % columns, values, (rows, columns))


def random_model(shape: Shape, engine: Engine, seed: int = 0) -> GPT:
    """The same numbers for every engine."""
    return assemble(shape.config, random_weights(shape, seed), engine)
