"""A large dense checkpoint, once, to a compact file beside it; later starts open that.

The compact file says of which source it is: its length, its time of change and its SHA-256. A
source that was changed is converted anew. Never more than one dense tensor is in memory beside
what is mapped from the source, and the result is compared with the source, tensor by tensor.
"""

import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from circuit_sparsity.core.checkpoint import (
    COMPACT_FILE,
    DENSE_FILE,
    CheckpointError,
    config_file,
    find_weights,
    fitting,
    pack_one,
    read_config,
    read_weights,
    unpack,
)
from circuit_sparsity.core.model import GPT
from circuit_sparsity.kernels import SparseMatrix
from circuit_sparsity.runtime.assemble import Engine, open_weights
from circuit_sparsity.store import TransferCancelled, write_atomically
from circuit_sparsity.store.manifest import sha256_of
from circuit_sparsity.store.progress import Meter, ProgressReport

CONVERTED_FILE = "final_model.compact.safetensors"
LARGE = 64 << 20  # bytes of a source under which opening it is quick anyway
_WORTHWHILE = 0.25  # share of entries that are not zero: above, the compact file is no smaller half


def open_converted(
    folder: Path,
    engine: Engine = "auto",
    progress: ProgressReport | None = None,
    cancel: threading.Event | None = None,
) -> GPT:
    """Like ``load_model``, and a large sparse ``final_model.pt`` is converted on first opening."""
    if (folder / COMPACT_FILE).exists():
        return open_weights(folder, folder / COMPACT_FILE, engine)
    compact = convert(folder, progress, cancel) if engine != "dense" else None
    return open_weights(folder, compact or find_weights(folder), engine)


def convert(
    folder: Path, progress: ProgressReport | None = None, cancel: threading.Event | None = None
) -> Path | None:
    """The compact file of the folder's dense checkpoint, made if it is not there or of another.

    None where it is not worth it: a small file, dense weights, or a folder that cannot be written.
    Raises CheckpointError for a source that is cut, damaged or does not fit its configuration, and
    TransferCancelled when ``cancel`` is set; nothing is left over then.
    """
    source, target = folder / DENSE_FILE, folder / CONVERTED_FILE
    if not source.exists() or 0 < source.stat().st_size < LARGE:
        return None
    if is_of(target, source):
        return target
    weights = read_weights(source)
    fitting(read_config(config_file(folder)), weights, str(source))
    state = {name: x for name, x in weights.items() if isinstance(x, Tensor)}
    if not os.access(folder, os.W_OK) or not _is_sparse(state):
        return None
    return _converted(source, target, state, _Passes(source, progress, cancel), cancel)


def _converted(
    source: Path,
    target: Path,
    state: Mapping[str, Tensor],
    passes: "_Passes",
    cancel: threading.Event | None,
) -> Path | None:
    mark = _mark(source)
    mark["source_sha256"] = sha256_of(source, cancel, passes.tell)
    packed: dict[str, Tensor] = {}
    for name, x in passes.over(state):
        packed |= pack_one(name, x)

    def write(file: BinaryIO) -> None:
        save_file(packed, file.name, mark)
        packed.clear()
        _verify(load_file(file.name), state, passes)

    try:
        return write_atomically(target, write)
    except OSError:
        return None  # no room for it: the source opens too, only later


def is_of(compact: Path, source: Path) -> bool:
    """Whether a compact file is there and was made of this very source."""
    try:
        with safe_open(compact, "pt") as file:
            mark = file.metadata() or {}
    except (FileNotFoundError, SafetensorError):
        return False
    now = _mark(source)
    if mark.get("source_size") != now["source_size"]:
        return False
    # A copy of the same source has another time: then its content decides.
    same_time = mark.get("source_changed") == now["source_changed"]
    return same_time or mark.get("source_sha256") == sha256_of(source)


def _mark(source: Path) -> dict[str, str]:
    state = source.stat()
    return {
        "source": source.name,
        "source_size": str(state.st_size),
        "source_changed": str(state.st_mtime_ns),
    }


def _is_sparse(state: Mapping[str, Tensor]) -> bool:
    """Whether the first layer's matrices are."""
    first = [x for name, x in state.items() if name.startswith("transformer.h.0.")]
    matrices = [x for x in first if x.dim() == 2]
    entries = sum(x.numel() for x in matrices)
    return sum(int(x.count_nonzero()) for x in matrices) < _WORTHWHILE * entries


class _Passes:
    """Three passes over the source, told as one: for its hash, to pack it, to compare."""

    def __init__(
        self, source: Path, progress: ProgressReport | None, cancel: threading.Event | None
    ) -> None:
        self._name, self._size = source.name, source.stat().st_size
        self._meter, self._cancel = Meter(str(source), progress), cancel
        self._before = 0

    def tell(self, done: int) -> None:
        """``done`` bytes of this pass are behind."""
        self._meter(self._before + done, 3 * self._size)

    def over(self, state: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        """The next pass."""
        self._before += self._size
        done = 0
        for name, x in state.items():
            if self._cancel is not None and self._cancel.is_set():
                raise TransferCancelled(
                    f"stopped while converting {self._name}; the original is as it was"
                )
            yield name, x
            done += x.numel() * x.element_size()
            self.tell(done)


def _verify(packed: Mapping[str, Tensor], state: Mapping[str, Tensor], passes: _Passes) -> None:
    """Compare what was packed with its source: every value at its place, all others zero."""
    kept = unpack(packed)
    for name, x in passes.over(state):
        mine = kept.get(name)
        if isinstance(mine, SparseMatrix):
            same = mine.nonzero == int(x.count_nonzero()) and torch.equal(
                x[mine.row_indices(), mine.columns.long()], mine.values
            )
        else:
            same = mine is not None and torch.equal(mine, x)
        if not same:
            raise CheckpointError(
                f"{name} differs in the compact form from its source; the source is used as it is: "
                "please report this with the name of the model"
            )
