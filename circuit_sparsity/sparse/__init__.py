"""Exact top-k and products with compressed weights, compiled for the CPU."""

from circuit_sparsity.sparse.topk import abs_top_k, top_k_mask_flat

__all__ = ["abs_top_k", "top_k_mask_flat"]
