"""``GPT``, ``GPTConfig`` and ``load_model`` under the released import path."""

from circuit_sparsity.checkpoint import load_model
from circuit_sparsity.model import GPT, GPTConfig

__all__ = ["GPT", "GPTConfig", "load_model"]
