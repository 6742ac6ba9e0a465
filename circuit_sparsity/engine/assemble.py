"""Put a model together from its tensors, each dense or compressed, without a dense copy of it."""

from collections.abc import Mapping
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from circuit_sparsity.engine.blocks import PanelBlock
from circuit_sparsity.engine.modules import SparseEmbedding, SparseLinear
from circuit_sparsity.model import GPT, GPTConfig
from circuit_sparsity.sparse import SparseMatrix, prefer_sparse

Engine = Literal["auto", "sparse", "dense"]
ENGINES: tuple[str, ...] = get_args(Engine)
Weights = Mapping[str, Tensor | SparseMatrix]  # by parameter name

_TOKENS = 64  # of a typical pass: one prompt, or the prompts of a task
_WHOLE = ("transformer.wpe.weight", "bigram_table")  # read by rows or added: never multiplied


class _Unfilled(TorchFunctionMode):
    """Leaves tensors as they were allocated: on the meta device, nowhere.

    Filling meta tensors would load torch's symbolic library, 70 MB.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


def expected_shapes(config: GPTConfig) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor of a model, by name; nothing is allocated."""
    with torch.device("meta"), _Unfilled():
        return {name: tuple(x.shape) for name, x in GPT(config).state_dict().items()}


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
    with torch.device("meta"), _Unfilled():
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
