"""The sparse engine: the model's own modules over compressed weights, computed in panels."""

from circuit_sparsity.engine.assemble import (
    ENGINES,
    Engine,
    Weights,
    assemble,
    expected_shapes,
    with_engine,
)
from circuit_sparsity.engine.blocks import PanelBlock
from circuit_sparsity.engine.modules import SparseEmbedding, SparseLinear, compressed

__all__ = [
    "ENGINES",
    "Engine",
    "PanelBlock",
    "SparseEmbedding",
    "SparseLinear",
    "Weights",
    "assemble",
    "compressed",
    "expected_shapes",
    "with_engine",
]
