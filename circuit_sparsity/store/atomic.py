"""Files that are there whole or not at all."""

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def write_atomically(path: Path, writer: Callable[[BinaryIO], object]) -> Path:
    """Write `path` through `writer`, which receives an open binary file; returns `path`.

    The bytes go to a temporary file in the same folder, reach the disk, and only then take the
    name. Whatever stops the writing, `path` holds its old content or the new one in full.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_atomically(Path(folder) / "note", lambda file: file.write(b"kept")).read_bytes()
    b'kept'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.parent / f".{path.name}.{secrets.token_hex(6)}.tmp"
    try:
        with open(draft, "xb") as file:
            writer(file)
            file.flush()
            os.fsync(file.fileno())
        take_name(draft, path)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise
    return path


def take_name(draft: Path, path: Path) -> None:
    """Give a finished file its name, so that the name outlives a loss of power too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.replace(draft, path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Bring a folder's names to the disk, where the system can (Windows cannot, and need not)."""
    with contextlib.suppress(PermissionError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
