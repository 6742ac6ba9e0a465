"""Exact top-k and products with compressed weights, compiled for the CPU."""

from circuit_sparsity.sparse.attention import attend_panels, token_bounds
from circuit_sparsity.sparse.choice import prefer_sparse
from circuit_sparsity.sparse.elementwise import add_panels, gelu_panels
from circuit_sparsity.sparse.layer import Layer, Map, Read, Write, as_kept, as_map, run_layer
from circuit_sparsity.sparse.matrix import SparseMatrix
from circuit_sparsity.sparse.memory import keep_freed_memory
from circuit_sparsity.sparse.norm import norm_panels
from circuit_sparsity.sparse.panels import from_panels, to_panels
from circuit_sparsity.sparse.product import Activation, sparse_linear
from circuit_sparsity.sparse.topk import abs_top_k, top_k_mask_flat
from circuit_sparsity.sparse.topk_channels import abs_top_k_panels
from circuit_sparsity.sparse.warm import warm_up

__all__ = [
    "Activation",
    "Layer",
    "Map",
    "Read",
    "SparseMatrix",
    "Write",
    "abs_top_k",
    "abs_top_k_panels",
    "add_panels",
    "as_kept",
    "as_map",
    "attend_panels",
    "from_panels",
    "gelu_panels",
    "keep_freed_memory",
    "norm_panels",
    "prefer_sparse",
    "run_layer",
    "sparse_linear",
    "to_panels",
    "token_bounds",
    "top_k_mask_flat",
    "warm_up",
]
