"""What a released file can get wrong, said so that a reader knows which file and what to do."""

import pickle
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from circuit_sparsity.store.health import check_content

UNREADABLE = (
    RuntimeError,
    EOFError,
    KeyError,
    OSError,
    ValueError,
    AttributeError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
)
MISSHAPEN = (TypeError, ValueError, KeyError, IndexError, AttributeError, RuntimeError)


class ReleaseError(ValueError):
    """A file in the release's format is missing, damaged, or not what its name says."""


@dataclass(frozen=True)
class Source:
    """A file being read: where it lies and what it should hold."""

    path: Path
    what: str  # such as "a circuit"
    expected: str  # such as "a dictionary with circuit_data and importances, usually 1 to 20 MB"

    def load(self) -> Any:
        """The object in the file, tensors on the CPU; ReleaseError when it cannot be read."""
        if not self.path.is_file():
            raise ReleaseError(
                f"{self.path} is not there; it should hold {self.what}: fetch it, or name another"
            )
        try:
            check_content(self.path)
            return torch.load(self.path, map_location="cpu", weights_only=True)
        except UNREADABLE as error:
            reason = (str(error) or type(error).__name__).splitlines()[0][:200]
            empty = self.path.stat().st_size == 0
            raise self.trouble(
                "the file is empty" if empty else f"it is cut off or damaged ({reason})"
            ) from error

    def trouble(self, problem: str) -> ReleaseError:
        """An error that says what is wrong with this file, what was expected and what to do."""
        return ReleaseError(
            f"{self.path} ({self.path.stat().st_size:,} bytes) cannot be read as {self.what}: "
            f"{problem}; expected {self.expected}. Delete the file and fetch it again"
        )

    def require(self, raw: Any, keys: Iterable[str], where: str = "the file") -> None:
        """Raise ReleaseError unless ``raw`` is a dictionary that has all of ``keys``."""
        if not isinstance(raw, Mapping):
            raise self.trouble(f"{where} holds a {type(raw).__name__}, not a dictionary")
        missing = [key for key in keys if key not in raw]
        if missing:
            there = ", ".join(map(str, raw)) or "nothing"
            raise self.trouble(f"{where} has no {', '.join(missing)} (it has {there[:300]})")

    @contextmanager
    def section(self, key: str, expected: str) -> Iterator[None]:
        """Turn what goes wrong while ``key`` is taken apart into a ReleaseError that names it."""
        try:
            yield
        except ReleaseError:
            raise
        except MISSHAPEN as error:
            reason = f"{type(error).__name__}: {error}".splitlines()[0][:200]
            raise self.trouble(f"{key} should be {expected}, and is not ({reason})") from error
