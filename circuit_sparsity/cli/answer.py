"""What a command gives back: data for ``--json``, lines for a person, and how both are written."""

import argparse
import codecs
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

SCHEMA = 1  # of what --json prints: raised when a key goes or changes its meaning (docs/JSON.md)


@dataclass(frozen=True)
class Answer:
    """``data`` is a JSON object's values by key, or a list of such objects; ``lines`` says the same
    in words."""

    data: Mapping[str, Any] | Sequence[Mapping[str, Any]]
    lines: tuple[str, ...]


Say = Callable[[str], None]  # progress, to the terminal's error stream


class Command(Protocol):
    """A module of this package: its arguments and its work."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, arguments: argparse.Namespace, say: Say) -> Answer: ...


def as_json(data: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> str:
    """One line of strict JSON, in ASCII; a number that is not finite is ``null``.

    An object tells its schema first; a list (``cut``) has none.

    >>> as_json({"loss": float("nan"), "nodes": [44]})
    '{"schema": 1, "loss": null, "nodes": [44]}'
    """
    if isinstance(data, Mapping):
        return json.dumps({"schema": SCHEMA, **_finite(data)}, allow_nan=False)
    return json.dumps(_finite(data), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(inner) for key, inner in cast(Mapping[Any, Any], value).items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in cast(Sequence[Any], value)]
    return value


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Lines of left-aligned columns.

    >>> table(("k", "where"), [("64", "shipped")])
    ('k   where', '64  shipped')
    """
    everything = [head, *rows]
    widths = [max(len(row[column]) for row in everything) for column in range(len(head))]
    return tuple(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in everything
    )


_PLAIN = {"·": "-", "…": "...", "–": "-", "—": "-", "×": "x", "“": '"', "”": '"', "’": "'"}
_PLAIN.update({"«": "<<", "»": ">>", "→": "->", "≤": "<=", "≥": ">=", "−": "-", "Δ": "delta"})


def register_plain_letters() -> str:
    """The name of an error handler of encodings: a plain letter, or else the character's number.

    >>> "a · b ☃".encode("ascii", errors=register_plain_letters())
    b'a - b \\\\u2603'
    """

    def plain(error: UnicodeError) -> tuple[str | bytes, int]:
        if not isinstance(error, UnicodeEncodeError):
            raise error
        wrong = error.object[error.start : error.end]
        told = [_PLAIN.get(letter) or letter.encode("unicode_escape").decode() for letter in wrong]
        return "".join(told), error.end

    codecs.register_error("plain_letters", plain)
    return "plain_letters"
