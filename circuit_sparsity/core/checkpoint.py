"""Files of a model and back: configuration, weights, and the compact form that skips zeros.

Every oddity of the released files ends here: old keys, unknown keys, a missing
``final_logits_bias``, the causal mask that old attention code stored as a buffer.
"""

import dataclasses
import json
import math
import pickle
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.overrides import TorchFunctionMode

from circuit_sparsity.core.model import GPT, GPTConfig
from circuit_sparsity.kernels import SparseMatrix
from circuit_sparsity.store import Damaged
from circuit_sparsity.store.health import check_whole

CONFIG_FILE = "beeg_config.json"
DENSE_FILE = "final_model.pt"
COMPACT_FILE = "model.safetensors"

_KNOWN = {field.name for field in dataclasses.fields(GPTConfig)}
_WITHOUT_EFFECT = {  # known in released configs; they do not change what inference computes
    *("bigram_table_rank", "n_embd", "pfrac", "expansion_factor", "expansion_factor_mlp"),
    *("debug_exact_topk", "sparse_matmul_impl", "afrac_approx", "ignore_dw_grad", "rtopk"),
    *("dropout", "dropout_cat_pos_emb", "grad_checkpointing", "enable_sparse_kernels"),
    *("debug_nans", "use_tied_aux_matrix"),
}
_POSITIONS = "::positions"
_SHAPE = "::shape"
_COMPACT_BELOW = 0.5  # a 4-byte position beside a 4-byte value pays up to this density


Weights = Mapping[str, Tensor | SparseMatrix]  # by parameter name


class CheckpointError(ValueError):
    """A model's files are missing, damaged, or not what the configuration asks for."""


def read_config(path: Path) -> GPTConfig:
    """The configuration in a ``beeg_config.json``, old keys translated.

    Warns of keys it does not know and goes on. Raises CheckpointError when the file is missing,
    is not a JSON object, or asks for something this code cannot compute.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(
            f"no configuration at {path}; a model folder holds {CONFIG_FILE} and {DENSE_FILE} or "
            f"{COMPACT_FILE}: fetch the model, or name another folder"
        ) from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(
            f"{path} ({path.stat().st_size} bytes) is not JSON: {error}; "
            "delete it and fetch the model again"
        ) from error
    if not isinstance(raw, dict):
        raise CheckpointError(f"{path} holds a JSON {type(raw).__name__}; expected an object")
    return parse_config(raw, str(path))


def parse_config(raw: Mapping[str, object], source: str) -> GPTConfig:
    """The configuration that the keys of ``raw`` describe; ``source`` names it in messages."""
    values = dict(raw)
    if "n_mlp" in values:
        values.setdefault("d_mlp", values.pop("n_mlp"))
    if values.get("use_tied_aux_matrix"):
        raise CheckpointError(
            f"{source}: use_tied_aux_matrix is {values['use_tied_aux_matrix']!r}; "
            "only models without it can be computed here"
        )
    unknown = sorted(set(values) - _KNOWN - _WITHOUT_EFFECT)
    if unknown:
        warnings.warn(f"{source}: unknown keys are left aside: {', '.join(unknown)}", stacklevel=3)
    try:
        return GPTConfig(**{key: value for key, value in values.items() if key in _KNOWN})  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{source}: {error}") from error


def read_weights(path: Path) -> dict[str, Tensor | SparseMatrix]:
    """Tensors of a ``.pt`` (weights only) or compact ``.safetensors`` file, by name.

    Nothing is copied: tensors are mapped from the file, matrices stored compactly stay so.
    """
    if not path.exists():
        raise CheckpointError(f"no weights at {path}: fetch the model, or name another folder")
    try:
        check_whole(path)
    except Damaged as damaged:
        raise CheckpointError(str(damaged)) from damaged
    try:
        if path.suffix == ".safetensors":
            return unpack(load_file(path))
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (
        SafetensorError,
        RuntimeError,
        EOFError,
        KeyError,
        OSError,
        ValueError,
        pickle.UnpicklingError,
        zipfile.BadZipFile,
    ) as error:
        raise CheckpointError(
            f"{path} ({path.stat().st_size:,} bytes) cannot be read as weights: "
            f"{_first_line(error)}; the file is damaged: delete it and fetch the model again"
        ) from error


class Unfilled(TorchFunctionMode):
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
    with torch.device("meta"), Unfilled():
        return {name: tuple(x.shape) for name, x in GPT(config).state_dict().items()}


def fitting(config: GPTConfig, weights: Weights, source: str) -> Weights:
    """``weights``, exactly those of a model, but for what old files leave out or have too much."""
    weights = {name: x for name, x in weights.items() if not name.endswith(".attn.bias")}
    expected = expected_shapes(config)
    weights.setdefault("final_logits_bias", torch.zeros(config.vocab_size))
    problems = [f"missing {name}" for name in expected if name not in weights]
    problems += [f"unexpected {name}" for name in weights if name not in expected]
    problems += [
        f"{name} has shape {tuple(x.shape)}, expected {expected[name]}"
        for name, x in weights.items()
        if name in expected and tuple(x.shape) != expected[name]
    ]
    if problems:
        shown = "; ".join(problems[:8]) + (f"; and {len(problems) - 8} more" * (len(problems) > 8))
        raise CheckpointError(
            f"{source} does not fit its configuration: {shown}; "
            f"check that {CONFIG_FILE} belongs to these weights"
        )
    return weights


def load_state(model: GPT, state: Mapping[str, Tensor], source: str) -> None:
    """Copy ``state`` into a dense ``model``; exactly its tensors, as ``fitting`` says."""
    model.load_state_dict(fitting(model.config, state, source))


def save_model(model: GPT, folder: Path) -> None:
    """Write ``model`` as configuration and compact weights; what is zero is not stored."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(model.config.to_dict(), indent=1)
    (folder / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")
    save_file(pack(model.state_dict()), folder / COMPACT_FILE)


def pack(state: Weights) -> dict[str, Tensor]:
    """Tensors with many zeros as values and flat int32 positions; the others as they are."""
    packed: dict[str, Tensor] = {}
    for name, x in state.items():
        packed |= pack_one(name, x)
    return packed


def pack_one(name: str, x: Tensor | SparseMatrix) -> dict[str, Tensor]:
    """What ``pack`` makes of one tensor."""
    if isinstance(x, SparseMatrix):
        positions = x.row_indices() * x.shape[1] + x.columns
        return _packed(name, x.values, positions, x.shape)
    if int(x.count_nonzero()) > _COMPACT_BELOW * x.numel():  # first: positions take twice as much
        return {name: x.contiguous()}
    positions = x.flatten().nonzero().flatten()
    return _packed(name, x.flatten()[positions], positions, x.shape)


def _packed(
    name: str, values: Tensor, positions: Tensor, shape: Sequence[int]
) -> dict[str, Tensor]:
    return {
        name: values,
        name + _POSITIONS: positions.to(torch.int32),
        name + _SHAPE: torch.tensor(shape, dtype=torch.int32),
    }


def unpack(packed: Mapping[str, Tensor]) -> dict[str, Tensor | SparseMatrix]:
    """The inverse of ``pack``; matrices that were stored without their zeros stay so."""
    found: dict[str, Tensor | SparseMatrix] = {}
    for name, x in packed.items():
        if name.endswith((_POSITIONS, _SHAPE)):
            continue
        found[name] = x
        if name + _POSITIONS in packed:
            shape = packed[name + _SHAPE].tolist()
            found[name] = _unpacked(name, x, packed[name + _POSITIONS].long(), shape)
    return found


def _unpacked(
    name: str, values: Tensor, positions: Tensor, shape: list[int]
) -> Tensor | SparseMatrix:
    size = math.prod(shape)
    ascending = bool((positions[1:] > positions[:-1]).all())
    inside = not len(positions) or (int(positions[0]) >= 0 and int(positions[-1]) < size)
    if not (ascending and inside and len(positions) == len(values)):
        raise ValueError(f"{name} holds positions that do not fit its shape {shape}")
    if len(shape) == 2:
        rows, columns = positions // shape[1], positions % shape[1]
        return SparseMatrix.from_entries(rows, columns, values, (shape[0], shape[1]))
    dense = torch.zeros(shape, dtype=values.dtype)
    dense.view(-1)[positions] = values
    return dense


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
