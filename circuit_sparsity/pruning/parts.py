"""The parts of a model under their stored names, with their types."""

from typing import cast

from jaxtyping import Float
from torch import Tensor, nn

from circuit_sparsity.model import GPT, Block


def token_rows(model: GPT) -> Float[Tensor, "vocab d_model"]:
    return model.get_parameter("transformer.wte.weight")


def position_rows(model: GPT) -> Float[Tensor, "pos channel"]:
    return model.get_parameter("transformer.wpe.weight")


def blocks(model: GPT) -> tuple[Block, ...]:
    layers = range(model.config.n_layer)
    return tuple(cast(Block, model.get_submodule(f"transformer.h.{layer}")) for layer in layers)


def final_norm(model: GPT) -> nn.Module:
    return model.get_submodule("transformer.ln_f")


def bigrams(model: GPT) -> Float[Tensor, "vocab vocab"]:
    """The bigram table, which is a parameter of some models and a buffer of others."""
    return cast(Tensor, model.bigram_table)
