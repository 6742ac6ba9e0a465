"""Put a model together from its tensors, each dense or compressed, without a dense copy of it."""

from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from circuit_sparsity.core.checkpoint import (
    Unfilled,
    Weights,
    config_file,
    find_weights,
    fitting,
    read_config,
    read_weights,
)
from circuit_sparsity.core.model import GPT, GPTConfig
from circuit_sparsity.core.sparse_modules import SparseEmbedding, SparseLinear
from circuit_sparsity.kernels import SparseMatrix, prefer_sparse
from circuit_sparsity.runtime.panel_block import PanelBlock

Engine = Literal["auto", "sparse", "dense"]
ENGINES: tuple[str, ...] = get_args(Engine)

_TOKENS = 64  # of a typical pass: one prompt, or the prompts of a task
_WHOLE = ("transformer.wpe.weight", "bigram_table")  # read by rows or added: never multiplied


def load_model(folder: str | Path, cuda: bool = False, engine: Engine = "auto") -> GPT:
    """The model in ``folder``, in evaluation mode, its parameters frozen.

    Reads every form that ``core.weight_files`` tells: compact or other safetensors, in one file or
    several with an index, else the released ``final_model.pt``. ``engine``
    says how weights are kept and multiplied: ``dense``, ``sparse`` (compressed, on a CPU), or by
    ``auto`` each as is faster there, and dense with ``cuda``. The numbers are the same. Raises
    CheckpointError when a file is missing, empty or damaged, or tensors are missing, left over or
    of another shape; the message names them.
    """
    folder = Path(folder).expanduser()
    return open_weights(folder, find_weights(folder), engine, cuda)


def open_weights(folder: Path, source: Path, engine: Engine = "auto", cuda: bool = False) -> GPT:
    """The model whose configuration is in ``folder`` and whose weights are in ``source``."""
    if cuda and engine == "sparse":
        raise ValueError('engine is "sparse", which computes on a CPU; leave it out with cuda')
    config = read_config(config_file(folder))
    weights = fitting(config, read_weights(source), str(source))
    model = assemble(config, weights, "dense" if cuda else engine)
    return model.cuda() if cuda else model


def assemble(config: GPTConfig, weights: Weights, engine: Engine = "auto") -> GPT:
    """A frozen model in evaluation mode, of tensors whose names and shapes have been checked.

    ``auto`` keeps a matrix compressed where that multiplies faster on a CPU. What stays dense is
    copied, so that nothing depends on the file or the model it came from.
    """
    if engine not in ENGINES:
        raise ValueError(f"engine is {engine!r}; expected one of {', '.join(ENGINES)}")
    chosen = {name: _chosen(name, x, engine) for name, x in weights.items()}
    if config.tied_unembed:
        chosen["lm_head.weight"] = chosen["transformer.wte.weight"]
    with torch.device("meta"), Unfilled():
        model = GPT(config)
        for layer in range(config.n_layer):
            at = f"transformer.h.{layer}."
            if any(isinstance(x, SparseMatrix) for n, x in chosen.items() if n.startswith(at)):
                model.transformer.h[layer] = PanelBlock(config, layer)
    for name, x in chosen.items():
        _place(model, name, x)
    if config.tied_unembed and isinstance(model.lm_head, nn.Linear):
        model.lm_head.weight = model.transformer.wte.weight
    return model.requires_grad_(False).eval()


def with_engine(model: GPT, engine: Engine) -> GPT:
    """A frozen copy of a float32 model on a CPU that computes the same with another engine."""
    return assemble(model.config, model.state_dict(), engine)


def _chosen(name: str, x: Tensor | SparseMatrix, engine: Engine) -> Tensor | SparseMatrix:
    """``x`` as the engine keeps it."""
    is_matrix = name.endswith(".weight") and len(x.shape) == 2 and name not in _WHOLE
    if is_matrix and engine != "dense":
        rows, columns = x.shape
        nonzero = x.nonzero if isinstance(x, SparseMatrix) else int(x.count_nonzero())
        density = nonzero / max(rows * columns, 1)
        if engine == "sparse" or prefer_sparse(density, _TOKENS, (rows, columns)):
            return x if isinstance(x, SparseMatrix) else SparseMatrix.from_dense(x)
    return x.dense() if isinstance(x, SparseMatrix) else x.detach().float().clone()


def _place(model: GPT, name: str, x: Tensor | SparseMatrix) -> None:
    path, _, leaf = name.rpartition(".")
    module = model.get_submodule(path)
    if not isinstance(x, SparseMatrix):
        kind = module.__dict__["_parameters" if leaf in module._parameters else "_buffers"]
        kind[leaf] = nn.Parameter(x, requires_grad=False) if leaf in module._parameters else x
        return
    parent_path, _, child = path.rpartition(".")
    parent = model.get_submodule(parent_path)
    if isinstance(module, nn.Embedding):
        setattr(parent, child, SparseEmbedding(x))
    else:
        assert isinstance(module, nn.Linear), f"{name} belongs to a {type(module).__name__}"
        # Names come in any order: the bias may be in place already, or be replaced later.
        setattr(parent, child, SparseLinear(x, module.bias))
