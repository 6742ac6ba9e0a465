"""Files that are there whole or not at all, and the sums by which they are known again.

A file that is written into a folder of own results gets its SHA-256 beside it, in the format of
`sha256sum`: `.viz_data.pt.sha256`. It travels with the folder. What ships has one manifest.
"""

import contextlib
import hashlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

MADE_HERE = "made_here.json"  # lies in a folder of own results, and travels with it


def write_atomically(
    path: Path, writer: Callable[[BinaryIO], object], summed: bool | None = None
) -> Path:
    """Write `path` through `writer`, which receives an open binary file; returns `path`.

    The bytes go to a temporary file in the same folder, reach the disk, and only then take the
    name. Whatever stops the writing, `path` holds its old content or the new one in full. The
    file's SHA-256 is written beside it where `summed`; None: in folders of own results.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_atomically(Path(folder) / "note", lambda file: file.write(b"kept")).read_bytes()
    b'kept'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if summed is None:
        summed = path.name != MADE_HERE and (path.parent / MADE_HERE).is_file()
    draft = path.parent / f".{path.name}.{secrets.token_hex(6)}.tmp"
    try:
        with open(draft, "xb") as file:
            writer(file)
            file.flush()
            os.fsync(file.fileno())
        digest = sha256_of_file(draft) if summed else None
        # An old sum must not meet the new file: a process killed between the steps would leave a
        # whole file that looks damaged.
        if sum_path(path).exists():
            sum_path(path).unlink(missing_ok=True)
        take_name(draft, path)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise
    if digest is not None:
        _write_sum(path, digest)
    return path


def is_draft(name: str) -> bool:
    """Whether a file is one that `write_atomically` was stopped in before it took its name.

    >>> is_draft("viz/.note.0a1b2c.tmp"), is_draft("viz/note")
    (True, False)
    """
    file = name.rsplit("/", 1)[-1]
    return file.startswith(".") and file.endswith(".tmp")


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


def sha256_of_file(path: Path) -> str:
    """The SHA-256 of a file in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sum_path(path: Path) -> Path:
    """Where the SHA-256 of a file lies, if it has one."""
    return path.with_name(f".{path.name}.sha256")


def write_sum(path: Path) -> Path:
    """Write down the SHA-256 of a file that is complete; returns `path`."""
    _write_sum(path, sha256_of_file(path))
    return path


def _write_sum(path: Path, digest: str) -> None:
    line = f"{digest}  {path.name}\n".encode()
    write_atomically(sum_path(path), lambda file: file.write(line), summed=False)
