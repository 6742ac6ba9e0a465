"""Files of weights, in every form that people have, into tensors by their released names.

Read are safetensors (one file, or several with an index), PyTorch's present and older formats,
state dicts in a wrapper (``{"model": …}``) and under the prefixes of wrapping modules. Nothing of
a file is run. What cannot be read is a CheckpointError with the true reason.
"""

import json
import math
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from circuit_sparsity.core.compact import unpack
from circuit_sparsity.kernels import SparseMatrix
from circuit_sparsity.store import Damaged
from circuit_sparsity.store.health import check_whole

DENSE_FILE = "final_model.pt"
COMPACT_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
WEIGHT_FILES = (COMPACT_FILE, INDEX_FILE, DENSE_FILE, "pytorch_model.bin")  # the first is taken

_WRAPPERS = ("model", "state_dict", "model_state_dict")  # keys of training checkpoints
_PREFIXES = ("_orig_mod.", "module.", "circuit_model.")  # of compiled, parallel, Hugging Face's
_LFS = b"version https://git-lfs"
_AGAIN = "the file is damaged: delete it and fetch the model again"
_UNREADABLE = (
    *(SafetensorError, RuntimeError, EOFError, KeyError, OSError, ValueError, AttributeError),
    *(TypeError, pickle.UnpicklingError, zipfile.BadZipFile),
)


class CheckpointError(ValueError):
    """A model's files are missing, damaged, or not what the configuration asks for."""


def find_weights(folder: Path) -> Path:
    """The file of weights in a model's folder; ``final_model.pt`` where there is none."""
    if folder.is_file():
        raise CheckpointError(
            f"{folder} is a file; expected the folder of a model: name the one that it lies in"
        )
    found = (folder / name for name in WEIGHT_FILES)
    return next((path for path in found if path.is_file()), folder / DENSE_FILE)


def read_weights(path: Path) -> dict[str, Tensor | SparseMatrix]:
    """Tensors by their released names, from a file of any form that is told above.

    Nothing is copied where it can be helped: tensors are mapped from the file, and matrices stored
    compactly stay so.
    """
    if path.name.endswith(".index.json"):
        return _named(_sharded(path), path)
    _refuse_what_is_no_file(path)
    try:
        raw = load_file(path) if path.suffix == ".safetensors" else _load_torch(path)
        return _named(raw, path)
    except CheckpointError:
        raise
    except Damaged as damaged:
        raise CheckpointError(str(damaged)) from damaged
    except _UNREADABLE as error:
        raise CheckpointError(
            f"{path} ({path.stat().st_size:,} bytes) cannot be read as weights: "
            f"{_first_line(error)}; {_AGAIN}"
        ) from error


def _refuse_what_is_no_file(path: Path) -> None:
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder; expected a file of weights, as {DENSE_FILE}")
    if not path.exists():
        raise CheckpointError(f"no weights at {path}: fetch the model, or name another folder")
    with open(path, "rb") as file:
        start = file.read(len(_LFS))
    if start == _LFS:
        raise CheckpointError(
            f"{path} is a pointer of Git LFS, {path.stat().st_size:,} bytes, in place of the "
            "weights: run `git lfs pull` in its folder, or download the file itself"
        )
    if path.suffix == ".safetensors" or start[:2] == b"PK" or path.stat().st_size == 0:
        try:
            check_whole(path)
        except Damaged as damaged:
            raise CheckpointError(str(damaged)) from damaged


def _load_torch(path: Path) -> Any:
    """What torch's reader of weights lets in; the older format cannot be mapped."""
    try:
        return torch.load(
            path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
        )
    except pickle.UnpicklingError as error:
        reason = str(error)
        if "GLOBAL" not in reason and "Unsupported class" not in reason:
            raise
        named = next((line.strip() for line in reason.splitlines() if "GLOBAL" in line), "")
        raise CheckpointError(
            f"{path} cannot be read as weights: it holds Python objects, such as a whole pickled "
            f"module, and those are not opened, because they could run code ({named[:120]}); "
            "save the module's state_dict() instead"
        ) from error


def _sharded(index: Path) -> dict[str, Tensor]:
    """The tensors of all files that an index names."""
    try:
        files = json.loads(index.read_text(encoding="utf-8-sig"))["weight_map"]
        names = sorted(set(map(str, files.values())))
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise CheckpointError(
            f"{index} is no index of weights: {_first_line(error)}; expected JSON with a weight_map"
        ) from error
    found: dict[str, Tensor] = {}
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise CheckpointError(f"{index} names {name[:80]!r}; expected a .safetensors beside it")
        part = index.parent / name
        _refuse_what_is_no_file(part)
        try:
            found |= load_file(part)
        except _UNREADABLE as error:
            raise CheckpointError(
                f"{part} cannot be read as weights: {_first_line(error)}; {_AGAIN}"
            ) from error
    missing = sorted(set(files) - set(found))
    if missing:
        raise CheckpointError(
            f"{index} promises {len(missing)} tensors that its files lack, such as {missing[0]}: "
            "fetch all its parts again"
        )
    return found


def _named(raw: Any, path: Path) -> dict[str, Tensor | SparseMatrix]:
    """The tensors under their released names; wrappers and prefixes end here."""
    for _ in range(len(_WRAPPERS)):
        inner = (raw[key] for key in _WRAPPERS if isinstance(raw, Mapping) and key in raw)
        raw = next((one for one in inner if isinstance(one, Mapping)), raw)
    if not isinstance(raw, Mapping):
        raise CheckpointError(
            f"{path} holds a {type(raw).__name__}; expected a dictionary of tensors, or one under "
            f"{' or '.join(_WRAPPERS)}"
        )
    found: dict[str, Tensor] = {}
    for given, x in raw.items():
        name = _without_prefixes(str(given))
        if not isinstance(x, Tensor):
            raise CheckpointError(
                f"{path}: {name} is a {type(x).__name__}; expected nothing but tensors"
            )
        if name in found:
            raise CheckpointError(f"{path} has {name} twice, under two prefixes")
        _refuse_overlap(name, x, path)
        found[name] = x.detach()
    return unpack(found)


def _without_prefixes(name: str) -> str:
    name = name.replace("_orig_mod.", "")  # torch.compile puts it before any module
    while name.startswith(_PREFIXES):
        name = name.partition(".")[2]
    return name


def _refuse_overlap(name: str, x: Tensor, path: Path) -> None:
    """A view can be far larger than the file that holds it: no model's tensor is one."""
    if x.layout is not torch.strided or x.is_quantized:
        raise CheckpointError(f"{path}: {name} is stored as {x.layout}; expected a dense tensor")
    if x.numel() * x.element_size() > x.untyped_storage().nbytes():
        raise CheckpointError(
            f"{path}: {name} says that its shape is {tuple(x.shape)}, and "
            f"{x.untyped_storage().nbytes():,} bytes are stored for it; the file is not a model's"
        )


def is_finite(x: Tensor | SparseMatrix) -> bool:
    """Whether every value is a number; a finite sum, for which no copy is made, says so."""
    values = x.values if isinstance(x, SparseMatrix) else x
    return math.isfinite(float(values.sum())) or bool(values.isfinite().all())


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
