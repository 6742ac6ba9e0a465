"""Small JSON files: one reader, whose only failure is a sentence with the file's name.

What a file should hold is a type (a dataclass, a mapping of them). Whatever else lies there is
`Damaged`; what can be made again is set aside beside its place, and made again by whoever needs it.
"""

import contextlib
import json
import os
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec

from circuit_sparsity.store.atomic import write_atomically
from circuit_sparsity.store.errors import Damaged

Value = TypeVar("Value")

LARGEST = 64 << 20  # bytes: a listing of every file of the release takes a few millions


def read_json_as(path: Path, kind: type[Value], what: str) -> Value | None:
    """The value of type `kind` that a JSON file holds; None when there is no such file.

    `what` names the file's kind in the message. Raises `Damaged` for a file that is none, is larger
    than 64 MiB, is not JSON, or holds something else than `kind`.
    """
    data = read_bounded(path, what)
    return None if data is None else decode_json_as(data, kind, f"{path} ({what})")


def read_json_object(path: Path, what: str) -> dict[str, Any] | None:
    """The JSON object that a file holds, whatever its values; else as `read_json_as`."""
    return cast("dict[str, Any] | None", read_json_as(path, dict, what))


def read_bounded(path: Path, what: str) -> bytes | None:
    """The bytes of a small file, None when there is none; `Damaged` for one that is not small."""
    try:
        if not path.exists():
            return None
        if not path.is_file():
            raise Damaged(f"{path} ({what}) is no file; move away what lies there")
        with open(path, "rb") as file:
            data = file.read(LARGEST + 1)
    except FileNotFoundError:
        return None  # deleted just now
    except OSError as error:
        raise Damaged(f"{path} ({what}) cannot be read: {error.strerror}") from error
    if len(data) > LARGEST:
        raise Damaged(f"{path} ({what}) is longer than {LARGEST:,} bytes; delete it")
    return data


def decode_json_as(data: bytes | str, kind: type[Value], source: str) -> Value:
    """The value of type `kind` in a JSON text; `Damaged` says what is wrong, with `source`.

    >>> decode_json_as(b'["a"]', dict, "note.json")
    Traceback (most recent call last):
    circuit_sparsity.store.errors.Damaged: note.json is damaged: Expected `object`, got `array`
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise Damaged(f"{source} is damaged: {error}") from error


def write_json(path: Path, value: object) -> None:
    """Write JSON values (no NaN, no infinity), whole or not at all."""
    text = json.dumps(value, indent=1, allow_nan=False)
    write_atomically(path, lambda file: file.write(text.encode()))


def set_aside(path: Path) -> Path:
    """Give a damaged file another name, so that a new one can be made; the name that it has now."""
    aside = aside_path(path)
    with contextlib.suppress(OSError):  # gone already, or a folder that is not ours to write
        os.replace(path, aside)
    return aside


def aside_path(path: Path) -> Path:
    """Where `set_aside` puts a file."""
    return path.with_name(f"{path.name}.damaged")
