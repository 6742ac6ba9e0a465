"""Whether a file can be whole, told from the file itself, before anything tries to open it.

A download that broke off never gets its final name. But a file may be empty or cut at its source
(two bridge files are empty in the container, and one model is cut), or be copied in half by hand.
"""

import json
import pickletools
import struct
import zipfile
from pathlib import Path
from typing import BinaryIO

from circuit_sparsity.store.errors import Damaged

_ITEM_BYTES = {
    **dict.fromkeys(("DoubleStorage", "LongStorage", "ComplexFloatStorage"), 8),
    **dict.fromkeys(("FloatStorage", "IntStorage"), 4),
    **dict.fromkeys(("HalfStorage", "BFloat16Storage", "ShortStorage"), 2),
    **dict.fromkeys(("ByteStorage", "CharStorage", "BoolStorage"), 1),
}
_LONGEST_HEADER = 100 << 20  # bytes: the limit of the safetensors format


def check_whole(path: Path, expected: int | None = None) -> Path:
    """The same path; raises `Damaged` if the file is empty or ends too early.

    The message says which file, how long it is, and how long it should be: `expected` bytes, or as
    long as its own header says. Reads a few kilobytes, except of a cut file.
    """
    size = path.stat().st_size
    if expected is not None and size != expected:
        raise Damaged(_message(path, size, f"{expected:,}"))
    if size == 0:
        raise Damaged(_message(path, size, "more than 0"))
    if path.suffix == ".pt" and not zipfile.is_zipfile(path):
        raise Damaged(_message(path, size, _length_of_torch_file(path)))
    if path.suffix == ".safetensors":
        should_be = _length_of_safetensors(path)
        if should_be != size:
            wanted = f"{should_be:,}" if should_be else "more"
            raise Damaged(_message(path, size, wanted))
    return path


def _message(path: Path, size: int, expected: str) -> str:
    return (
        f"{path} is {size:,} bytes long and should be {expected}: it is empty, or was cut on its "
        "way or at its source. Delete it and download it again; if it stays so, it was published so"
    )


def _length_of_safetensors(path: Path) -> int | None:
    """Bytes that the header speaks of, or None when even the header is cut."""
    with open(path, "rb") as file:
        start = file.read(8)
        if len(start) < 8:
            return None
        (length,) = struct.unpack("<Q", start)
        header = file.read(min(length, _LONGEST_HEADER))
    try:
        tensors = json.loads(header)
    except ValueError:
        return None
    ends = [tensor["data_offsets"][1] for name, tensor in tensors.items() if name != "__metadata__"]
    return 8 + length + max(ends, default=0)


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
    recent: list = []
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
    except ValueError:
        return found  # the list itself is cut: what was read is a lower bound
    return found
