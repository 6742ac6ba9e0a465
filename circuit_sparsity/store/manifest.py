"""What is known of each downloaded file: its size, hash and source, one small JSON file each.

The records lie beside the container's layout, in `<folder>/.store/files/<name>.json`. One record a
file, written in one step, needs no lock over the whole folder. The time of change of the record is
the time of the file's last use.
"""

import contextlib
import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import msgspec

from circuit_sparsity.store.errors import Damaged, NotFound, NotHere, TransferCancelled
from circuit_sparsity.store.json_files import read_json_as, write_json

BOOKKEEPING = ".store"  # the folder of all bookkeeping, inside the user's folder
_BLOCK = 1 << 20
_USE_IS_RECORDED_AFTER = 60.0  # seconds: below that, a further use is not written down


@dataclass(frozen=True)
class Record:
    """A file as it was when it was found to be whole."""

    size: Annotated[int, msgspec.Meta(ge=0)]  # bytes
    changed: int  # the file's time of change, ns since 1970; 0 when it has to be read again
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    etag: str | None  # as the service wrote it
    md5: str | None  # base64, where the service gave one
    url: str  # the container that it came from, or "" when it was put here by hand
    when: float  # seconds since 1970


def record_path(folder: Path, name: str) -> Path:
    return folder / BOOKKEEPING / "files" / f"{name}.json"


def read_record(folder: Path, name: str) -> Record | None:
    """The record of a file, or None when there is none.

    Raises `Damaged` for a record that cannot be read: without it nobody can say whether the file
    is what was downloaded.
    """
    what = f"the record of the download of {name}"
    try:
        return read_json_as(record_path(folder, name), Record, what)
    except Damaged as damaged:
        raise Damaged(
            f"{damaged}. So {folder / name} cannot be compared with what was downloaded. "
            f"{what_next(name)}"
        ) from damaged


def write_record(folder: Path, name: str, record: Record) -> None:
    write_json(record_path(folder, name), asdict(record))


def forget(folder: Path, name: str) -> None:
    record_path(folder, name).unlink(missing_ok=True)


def sha256_of(
    path: Path,
    cancel: threading.Event | None = None,
    report: Callable[[int], object] | None = None,
) -> str:
    """The SHA-256 of a file in hex; `report` is told the bytes read so far.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "abc"
    ...     _ = path.write_bytes(b"abc")
    ...     sha256_of(path)[:16]
    'ba7816bf8f01cfea'
    """
    digest, done = hashlib.sha256(), 0
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            done += len(block)
            if report is not None:
                report(done)
            if cancel is not None and cancel.is_set():
                raise TransferCancelled(f"stopped while reading {path}")
    return digest.hexdigest()


def record_use(folder: Path, name: str) -> None:
    """Remember that a file was used now."""
    path = record_path(folder, name)
    try:
        if time.time() - path.stat().st_mtime > _USE_IS_RECORDED_AFTER:
            os.utime(path)
    except (FileNotFoundError, PermissionError):
        return  # no record, or a folder that somebody else owns: nothing depends on it


def last_used(folder: Path, name: str) -> float | None:
    """Seconds since 1970, or None for a file without a record."""
    try:
        return record_path(folder, name).stat().st_mtime
    except FileNotFoundError:
        return None


def check_unchanged(folder: Path, name: str) -> None:
    """Raise `Damaged` if a recorded file is no longer what was recorded.

    Reads the file only when its size or its time of change differ; a file whose bytes are still the
    same gets its new time written down, so that it is read once.
    """
    record, path = read_record(folder, name), folder / name
    if record is None:
        return
    state = path.stat()
    if (state.st_size, state.st_mtime_ns) == (record.size, record.changed):
        return
    if state.st_size != record.size:
        raise Damaged(
            f"{path} is {state.st_size:,} bytes long and should be {record.size:,}: "
            f"it was changed after its download. {what_next(name)}"
        )
    compare_hash(folder, name, record)


def compare_hash(
    folder: Path,
    name: str,
    record: Record,
    cancel: threading.Event | None = None,
    report: Callable[[int], object] | None = None,
) -> None:
    """Read a file and compare it with its record; on success write down its time of change."""
    path = folder / name
    changed = path.stat().st_mtime_ns
    if sha256_of(path, cancel, report) != record.sha256:
        with contextlib.suppress(
            OSError
        ):  # from now on the file is refused wherever it is asked for
            write_record(folder, name, replace(record, changed=0))
        raise Damaged(
            f"{path} has the right length, {record.size:,} bytes, but other content than what was "
            f"downloaded. {what_next(name)}"
        )
    if changed != record.changed:
        with contextlib.suppress(OSError):  # full, or not ours to write: it is read again next time
            write_record(folder, name, replace(record, changed=changed))


def record_by_hand(folder: Path, name: str, cancel: threading.Event | None = None) -> Record:
    """Write down a file that somebody put into the folder, as it is now."""
    path = folder / name
    if not path.is_file():
        raise NotHere(f"{path} is not there, so there is nothing to write down")
    state = path.stat()
    digest = sha256_of(path, cancel)
    record = Record(state.st_size, state.st_mtime_ns, digest, None, None, "", time.time())
    write_record(folder, name, record)
    return record


def what_next(name: str) -> str:
    """How to get a good copy of a file."""
    return (
        f"Download it again with `python -m circuit_sparsity fetch {name}`, "
        "or delete it on the library page"
    )


REMEMBERED = 600.0  # seconds


@dataclass(frozen=True)
class _Missing:
    """What the container said that it does not have, and when."""

    url: str
    when: float  # seconds since 1970


def remember_missing(folder: Path, url: str, name: str) -> None:
    write_json(_missing_path(folder, name), {"url": url, "when": time.time()})


def forget_all_missing(folder: Path) -> None:
    shutil.rmtree(folder / BOOKKEEPING / "missing", ignore_errors=True)


def refuse_if_missing(folder: Path, url: str, name: str) -> None:
    """Raise `NotFound` if the container was asked lately; a damaged note says nothing."""
    path = _missing_path(folder, name)
    try:
        known = read_json_as(path, _Missing, "a file that the container did not have")
    except Damaged:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        return
    if known is None or known.url != url:
        return
    age = time.time() - known.when
    if 0 <= age < REMEMBERED:
        raise NotFound(
            f"{name} was not in {url} {age:,.0f} seconds ago; it is asked for again "
            f"{REMEMBERED - age:,.0f} seconds from now, or after the list is refreshed"
        )


def _missing_path(folder: Path, name: str) -> Path:
    return folder / BOOKKEEPING / "missing" / f"{name}.json"
