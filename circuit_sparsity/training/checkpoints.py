"""A run on disk: checkpoints that can be trusted, the one before each, and lines of progress.

`checkpoint.pt` is written whole or not at all, with its SHA-256 beside it, and the one before it is
kept as `checkpoint.previous.pt`. `progress.json` holds one JSON line for each step that was
evaluated.
"""

import json
import os
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from circuit_sparsity.store import Damaged, write_atomically
from circuit_sparsity.store.atomic import sum_path
from circuit_sparsity.store.health import check_whole
from circuit_sparsity.store.json_files import read_bounded

CHECKPOINT = "checkpoint.pt"
PREVIOUS = "checkpoint.previous.pt"
PROGRESS = "progress.json"
Line = dict[str, int | float]


@dataclass(frozen=True)
class Checkpoint:
    """Everything that a run goes on from."""

    settings: str  # JSON of the run's settings, keys sorted
    model: dict[str, Tensor]
    adam: dict[str, Any]  # state of the optimiser
    step: int  # optimiser steps done


def write_checkpoint(state: Checkpoint, folder: Path) -> Path:
    """Write ``checkpoint.pt``, and keep the one before it; its path.

    A process killed between any two steps leaves one of the two whole.
    """
    path, previous = folder / CHECKPOINT, folder / PREVIOUS
    if path.is_file():
        sum_path(previous).unlink(missing_ok=True)
        os.replace(path, previous)
        if sum_path(path).is_file():
            os.replace(sum_path(path), sum_path(previous))
    contents = dict(vars(state))
    return write_atomically(path, lambda file: torch.save(contents, file), summed=True)


def read_checkpoint(
    folder: Path,
    device: torch.device | str = "cpu",
    say: Callable[[str], object] = lambda text: None,
) -> Checkpoint | None:
    """The last checkpoint of a run, None where there is none.

    A damaged one is left aside for the one before it, which ``say`` is told in a sentence. Raises
    ValueError when neither can be read.
    """
    troubles: list[str] = []
    for name in (CHECKPOINT, PREVIOUS):
        path = folder / name
        if not path.is_file():
            continue
        try:
            found = _read(path, device)
        except Damaged as damaged:
            troubles.append(str(damaged))
            continue
        if troubles:
            say(f"{troubles[0]}. The run goes on from {path}, step {found.step}")
        return found
    if troubles:
        raise ValueError(
            f"{'; '.join(troubles)}. No checkpoint of this run can be read: delete {folder} to "
            "train afresh"
        )
    return None


_UNREADABLE = (
    RuntimeError,
    EOFError,
    KeyError,
    OSError,
    ValueError,
    TypeError,
    AttributeError,
    IndexError,
    OverflowError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
)


def _read(path: Path, device: torch.device | str) -> Checkpoint:
    """A checkpoint whose content is what was written; `Damaged` otherwise."""
    check_whole(path)
    try:
        raw: Any = torch.load(path, map_location=device, weights_only=True)
        settings: object = json.loads(raw["settings"])
        tensors = [one for one in raw["model"].values() if torch.isfinite(one).all()]
        step: object = raw["step"]
    except _UNREADABLE as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise Damaged(f"{path} cannot be read as a run's checkpoint: {reason}") from error
    finite = len(tensors) == len(raw["model"])
    if not (finite and isinstance(settings, dict) and isinstance(step, int) and step >= 0):
        raise Damaged(f"{path} holds no checkpoint of a run, or weights that are not finite")
    return Checkpoint(raw["settings"], raw["model"], raw["adam"], step)


def add_progress(line: Line, folder: Path) -> None:
    """Add a line to ``progress.json``; it reaches the disk before this returns."""
    with (folder / PROGRESS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
        file.flush()
        os.fsync(file.fileno())


def read_progress(folder: Path) -> list[Line]:
    """The lines of ``progress.json`` in order, each step once (the last of it).

    A line that is none, as a full disk or a killed process may leave one, is left out.
    """
    data = read_bounded(folder / PROGRESS, "the progress of a training run") or b""
    by_step: dict[int, Line] = {}
    for text in data.decode("utf-8", "replace").splitlines():
        try:
            line: object = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(line, dict) and _is_line(cast(dict[str, object], line)):
            known = cast(Line, line)
            by_step[int(known["step"])] = known
    return [by_step[step] for step in sorted(by_step)]


def _is_line(line: dict[str, object]) -> bool:
    numbers = all(isinstance(value, int | float) for value in line.values())
    return numbers and isinstance(line.get("step"), int) and "tokens" in line


def keep_progress(folder: Path, last_step: int) -> None:
    """Drop what a run that was cut off wrote after its checkpoint: those steps are done again."""
    kept = [line for line in read_progress(folder) if line["step"] <= last_step]
    text = "".join(f"{json.dumps(line)}\n" for line in kept)
    if (folder / PROGRESS).is_file():
        write_atomically(folder / PROGRESS, lambda file: file.write(text.encode()))
