"""Exact top-k and products with compressed weights, compiled for the CPU."""

from circuit_sparsity.kernels.attention import attend_panels, token_bounds
from circuit_sparsity.kernels.elementwise import add_panels, gelu_panels
from circuit_sparsity.kernels.layer import Layer, Map, Read, Write, as_kept, as_map, run_layer
from circuit_sparsity.kernels.matrix import SparseMatrix, prefer_sparse
from circuit_sparsity.kernels.norm import norm_panels
from circuit_sparsity.kernels.panels import from_panels, to_panels
from circuit_sparsity.kernels.product import Activation, keep_freed_memory, sparse_linear
from circuit_sparsity.kernels.topk import abs_top_k, top_k_mask_flat
from circuit_sparsity.kernels.topk_channels import abs_top_k_panels

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
]
