"""``GPT``, ``GPTConfig`` and ``load_model`` under the released import path."""

from circuit_sparsity.core.model import GPT, GPTConfig
from circuit_sparsity.runtime.assemble import load_model

__all__ = ["GPT", "GPTConfig", "load_model"]
