"""Files of a model and back: configuration, weights, and the compact form that skips zeros.

Every oddity of the released files ends here: old keys, unknown keys, a missing
``final_logits_bias``, the causal mask that old attention code stored as a buffer.
"""

import dataclasses
import json
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from circuit_sparsity.model import GPT, GPTConfig

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


def load_model(folder: str | Path, cuda: bool = False) -> GPT:
    """The model in ``folder``, in evaluation mode, its parameters frozen.

    Reads the compact form where there is one, else the released ``final_model.pt``. Raises
    CheckpointError when a file is missing, empty or damaged, or tensors are missing, left over or
    of another shape; the message names them.
    """
    folder = Path(folder)
    config = read_config(folder / CONFIG_FILE)
    model = GPT(config)
    compact = folder / COMPACT_FILE
    source = compact if compact.exists() else folder / DENSE_FILE
    load_state(model, read_state(source), str(source))
    model.requires_grad_(False).eval()
    return model.cuda() if cuda else model


def read_state(path: Path) -> dict[str, Tensor]:
    """Named tensors of a ``.pt`` (weights only) or compact ``.safetensors`` file."""
    if not path.exists():
        raise CheckpointError(f"no weights at {path}: fetch the model, or name another folder")
    size = path.stat().st_size
    try:
        if path.suffix == ".safetensors":
            return unpack(load_file(path))
        return torch.load(path, map_location="cpu", weights_only=True)
    except (
        SafetensorError,
        RuntimeError,
        EOFError,
        KeyError,
        OSError,
        pickle.UnpicklingError,
        zipfile.BadZipFile,
    ) as error:
        raise CheckpointError(
            f"{path} ({size:,} bytes) cannot be read as weights: {_first_line(error)}; "
            "the file is cut off or damaged: delete it and fetch the model again"
        ) from error


def load_state(model: GPT, state: Mapping[str, Tensor], source: str) -> None:
    """Copy ``state`` into ``model``; exactly its tensors, but for what old files leave out."""
    state = {name: x for name, x in state.items() if not name.endswith(".attn.bias")}
    expected = model.state_dict()
    state.setdefault("final_logits_bias", expected["final_logits_bias"])
    problems = [f"missing {name}" for name in expected if name not in state]
    problems += [f"unexpected {name}" for name in state if name not in expected]
    problems += [
        f"{name} has shape {tuple(x.shape)}, expected {tuple(expected[name].shape)}"
        for name, x in state.items()
        if name in expected and x.shape != expected[name].shape
    ]
    if problems:
        shown = "; ".join(problems[:8]) + (f"; and {len(problems) - 8} more" * (len(problems) > 8))
        raise CheckpointError(
            f"{source} does not fit its configuration: {shown}; "
            f"check that {CONFIG_FILE} belongs to these weights"
        )
    model.load_state_dict(state)


def save_model(model: GPT, folder: Path) -> None:
    """Write ``model`` as configuration and compact weights; what is zero is not stored."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(model.config.to_dict(), indent=1)
    (folder / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")
    save_file(pack(model.state_dict()), folder / COMPACT_FILE)


def pack(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors with many zeros as values and flat int32 positions; the others as they are."""
    packed: dict[str, Tensor] = {}
    for name, x in state.items():
        positions = x.flatten().nonzero().flatten()
        if len(positions) > _COMPACT_BELOW * x.numel():
            packed[name] = x.contiguous()
            continue
        packed[name] = x.flatten()[positions]
        packed[name + _POSITIONS] = positions.to(torch.int32)
        packed[name + _SHAPE] = torch.tensor(x.shape, dtype=torch.int32)
    return packed


def unpack(packed: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of ``pack``."""
    state: dict[str, Tensor] = {}
    for name, x in packed.items():
        if name.endswith((_POSITIONS, _SHAPE)):
            continue
        if name + _POSITIONS not in packed:
            state[name] = x
            continue
        dense = torch.zeros(packed[name + _SHAPE].tolist(), dtype=x.dtype)
        dense.view(-1)[packed[name + _POSITIONS].long()] = x
        state[name] = dense
    return state


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
