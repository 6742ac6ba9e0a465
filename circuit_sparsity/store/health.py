"""Whether a file is what was written, told before anything tries to open it.

A download that broke off never gets its final name. But a file may be empty or cut at its source
(two bridge files are empty in the container, and one model is cut), be copied in half by hand, or
have bits flipped on the disk. Its length is told by its own header; its content by the sum written
beside it (`atomic`), by the manifest of what ships, or by the sums inside a `.pt`, which is a zip
archive and which torch does not check. Each is read once for each file and time of change.
"""

import json
import pickletools
import struct
import zipfile
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import msgspec

from circuit_sparsity.store.atomic import sha256_of_file, sum_path
from circuit_sparsity.store.errors import Damaged
from circuit_sparsity.store.json_files import read_json_as, write_json

_ITEM_BYTES = {
    **dict.fromkeys(("DoubleStorage", "LongStorage", "ComplexFloatStorage"), 8),
    **dict.fromkeys(("FloatStorage", "IntStorage"), 4),
    **dict.fromkeys(("HalfStorage", "BFloat16Storage", "ShortStorage"), 2),
    **dict.fromkeys(("ByteStorage", "CharStorage", "BoolStorage"), 1),
}
_LONGEST_HEADER = 100 << 20  # bytes: the limit of the safetensors format


def check_whole(path: Path, expected: int | None = None) -> Path:
    """The same path; raises `Damaged` if the file is empty, ends too early, or was changed.

    The message says which file, how long it is, and how long it should be: `expected` bytes, or as
    long as its own header says; or by which sum its content is other than what was written.
    """
    state = path.stat()
    if expected is not None and state.st_size != expected:
        raise Damaged(_message(path, state.st_size, f"{expected:,}"))
    _check_length(path, state.st_size)
    check_content(path)
    return path


def _check_length(path: Path, size: int) -> None:
    """Reads a few kilobytes, except of a cut file."""
    if size == 0:
        raise Damaged(_message(path, size, "more than 0"))
    if path.suffix == ".pt" and not _is_archive(path):
        raise Damaged(_message(path, size, _length_of_torch_file(path)))
    if path.suffix == ".safetensors":
        should_be = _length_of_safetensors(path)
        if should_be != size:
            wanted = f"{should_be:,}" if should_be else "more"
            raise Damaged(_message(path, size, wanted))


def check_content(path: Path) -> Path:
    """The same path; raises `Damaged` if its content is other than a sum that is known of it.

    The file is read the first time, and again when its size or its time of change differ.
    """
    state, beside = path.stat(), sum_path(path)
    stamp = beside.stat().st_mtime_ns if beside.is_file() else 0
    _checked(path, state.st_size, state.st_mtime_ns, stamp)
    return path


@lru_cache(maxsize=4096)
def _checked(path: Path, _size: int, _changed: int, stamp: int) -> None:
    """Remembers what passed; a file that does not pass is read again the next time."""
    known = _written_sum(path) if stamp else _shipped_sum(path)
    if known is None:
        if path.suffix == ".pt":
            _check_archive(path)
        return
    digest, origin, remedy = known
    if sha256_of_file(path) != digest:
        raise Damaged(
            f"{path} was changed: its SHA-256 is other than {origin} says ({digest[:16]}...). "
            f"{remedy}"
        )


def _written_sum(path: Path) -> tuple[str, str, str]:
    """The sum in the file beside `path`, where that is from, and what to do where it differs."""
    beside = sum_path(path)
    digest = beside.read_bytes()[:64].decode("ascii", "replace")
    remedy = f"Make it again, or delete {beside} if the change was meant"
    return digest, f"{beside.name} beside it", remedy


def origin_of_sum(path: Path) -> str | None:
    """What says the SHA-256 of a file; None where nothing does."""
    known = _written_sum(path) if sum_path(path).is_file() else _shipped_sum(path)
    return None if known is None else known[1]


MANIFEST = "MANIFEST.json"  # in the folder of what ships
_DEEPEST = 6  # folders from what ships down to a file


class ShippedFile(msgspec.Struct):
    """A file as it ships."""

    size: Annotated[int, msgspec.Meta(ge=0)]  # bytes
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class Manifest(msgspec.Struct):
    """Every file that ships, by its name relative to the manifest's folder."""

    files: dict[str, ShippedFile]


def _shipped_sum(path: Path) -> tuple[str, str, str] | None:
    for folder in path.parents[:_DEEPEST]:
        manifest = folder / MANIFEST
        if manifest.is_file():
            listed = _manifest(manifest, manifest.stat().st_mtime_ns)
            file = listed.get(path.relative_to(folder).as_posix())
            remedy = "Restore it (`git checkout`), or install the project again"
            return None if file is None else (file.sha256, str(manifest), remedy)
    return None


@lru_cache(maxsize=8)
def _manifest(path: Path, _changed: int) -> dict[str, ShippedFile]:
    known = read_json_as(path, Manifest, "the sums of what ships")
    return {} if known is None else known.files


def shipped_files(folder: Path) -> dict[str, ShippedFile]:
    """What the manifest of a folder should say: every file of it but the manifest, by name."""
    return {
        path.relative_to(folder).as_posix(): ShippedFile(path.stat().st_size, sha256_of_file(path))
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST and not path.name.startswith(".")
    }


def write_manifest(folder: Path) -> Path:
    """Write down the sums of all that ships, after a file of it was changed on purpose."""
    files = {name: msgspec.to_builtins(file) for name, file in shipped_files(folder).items()}
    write_json(folder / MANIFEST, {"files": files})
    return folder / MANIFEST


_BLOCK = 1 << 20
_BAD_ARCHIVE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    NotImplementedError,
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    OverflowError,
)


def _is_archive(path: Path) -> bool:
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:  # a table of contents, and a damaged one
        return False


def _check_archive(path: Path) -> None:
    """Raise `Damaged` if an entry of a `.pt` has other content than its own sum says.

    An archive in which no sum is right was written without any (torch can be told so), and what is
    no archive has none.
    """
    if not _is_archive(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            passed = [_passes(archive, entry) for entry in archive.infolist()]
    except _BAD_ARCHIVE as error:
        raise Damaged(
            f"{path} is no whole archive ({error}): it was damaged on its way or on the disk. "
            "Delete it and fetch or make it again"
        ) from error
    if any(passed) and not all(passed):
        raise Damaged(
            f"{path} was changed: {passed.count(False)} of the {len(passed)} parts inside have "
            "other content than their sums say. Delete it and fetch or make it again"
        )


def _passes(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bool:
    try:
        with archive.open(entry) as file:
            while file.read(_BLOCK):
                pass
    except zipfile.BadZipFile as error:
        if "CRC" in str(error):
            return False
        raise
    return True


def _message(path: Path, size: int, expected: str) -> str:
    return (
        f"{path} is {size:,} bytes long and should be {expected}: it is empty, or was cut on its "
        "way or at its source. Delete it and download it again; if it stays so, it was published so"
    )


def _length_of_safetensors(path: Path) -> int | None:
    """Bytes that the header speaks of, or None when even the header is cut or damaged."""
    with open(path, "rb") as file:
        start = file.read(8)
        if len(start) < 8:
            return None
        (length,) = struct.unpack("<Q", start)
        header = file.read(min(length, _LONGEST_HEADER))
    try:
        return 8 + length + max(_ends_of_tensors(json.loads(header)), default=0)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        return None


def _ends_of_tensors(header: Any) -> Iterator[int]:
    for name, tensor in header.items():
        if name != "__metadata__":
            yield int(tensor["data_offsets"][1])


def _length_of_torch_file(path: Path) -> str:
    """What a cut file's list of tensors, which comes first in it, says about its length."""
    with open(path, "rb") as file:
        pickled = _first_entry(file)
    total = sum(_storages(pickled).values()) if pickled else 0
    return f"at least {total:,}" if total > path.stat().st_size else "longer"


def _first_entry(file: BinaryIO) -> bytes:
    """The content of the first file in an archive whose table of contents is gone, and more."""
    head = file.read(30)
    if len(head) < 30 or head[:4] != b"PK\x03\x04":
        return b""
    name_length, extra_length = struct.unpack("<HH", head[26:30])
    if not file.read(name_length).endswith(b"data.pkl"):
        return b""
    file.seek(extra_length, 1)
    return file.read(16 << 20)


def _storages(pickled: bytes) -> dict[str, int]:
    """Bytes of each storage that a pickled state dict names, read without running anything.

    torch writes each as a tuple ('storage', <kind>, key, device, number of items), and what was
    said before as a reference to the pickle's memory.
    """
    found: dict[str, int] = {}
    memory: dict[object, object] = {}
    recent: list[object] = []
    last: object = None
    try:
        for code, argument, _ in pickletools.genops(pickled):
            if "PUT" in code.name:
                memory[argument] = last
            elif code.name == "BINPERSID" and len(recent) == 5 and isinstance(recent[4], int):
                kind = str(recent[1]).split()[-1]
                found[str(recent[2])] = _ITEM_BYTES.get(kind, 1) * recent[4]
            else:
                last = memory.get(argument) if "GET" in code.name else argument
                recent = recent if last is None else [*recent[-4:], last]
    except (ValueError, struct.error, OverflowError, IndexError, AttributeError):
        return found  # the list itself is cut: what was read is a lower bound
    return found
