"""``GPT``, ``GPTConfig`` and ``load_model`` under the released import path."""

import dataclasses
import warnings
from pathlib import Path

import torch

from circuit_sparsity.core.config import GPTConfig
from circuit_sparsity.core.model import GPT
from circuit_sparsity.inference.addresses import local_model
from circuit_sparsity.runtime import assemble

__all__ = ["GPT", "GPTConfig", "load_model"]


def load_model(
    model_path: str | Path,
    flash: bool = False,
    grad_checkpointing: bool = False,
    cuda: bool = True,
) -> GPT:
    """The model at a folder or at an address of the container, in evaluation mode.

    Everything is dense and can be trained, as in the reference; ``circuit_sparsity.load_model``
    opens the same files faster. ``flash`` and ``grad_checkpointing`` go into the configuration and
    change no number. With ``cuda`` and no GPU here, one warning says so and the model stays on the
    CPU. Raises CheckpointError for files that are missing, damaged or do not fit, StoreError where
    an address cannot be fetched.
    """
    if cuda and not torch.cuda.is_available():
        warnings.warn(
            "there is no CUDA device here: the model runs on the CPU; give cuda=False to say so",
            stacklevel=2,
        )
        cuda = False
    model = assemble.load_model(local_model(model_path), engine="dense")
    model.config = dataclasses.replace(
        model.config, flash=flash, grad_checkpointing=grad_checkpointing
    )
    for name, parameter in model.named_parameters():
        waves = model.config.sinusoidal_cat_pos_emb and name == "transformer.wpe.weight"
        parameter.requires_grad_(not waves)
    return model.cuda() if cuda else model
