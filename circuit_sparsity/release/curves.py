"""``progress.json``: what was measured while a model was trained, one JSON object a line."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from circuit_sparsity.release.errors import ReleaseError

STEP = "step"


@dataclass(frozen=True)
class Curve:
    """One quantity over the steps at which it was measured."""

    steps: tuple[int, ...]
    values: tuple[float, ...]


def read_curves(path: Path) -> Mapping[str, Curve]:
    """Every quantity of a training, by its name in the file, in the file's order.

    Only finite numbers are kept; a line may lack any of them. Raises ReleaseError when the file
    is missing or damaged; the message names the line.
    """
    found: dict[str, list[tuple[int, float]]] = {}
    for number, line in enumerate(_lines(path), start=1):
        if line.strip():
            step, values = _parse(path, number, line)
            for name, value in values.items():
                found.setdefault(name, []).append((step, value))
    return MappingProxyType(
        {name: Curve(*map(tuple, zip(*points, strict=True))) for name, points in found.items()}
    )


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ReleaseError(
            f"{path} cannot be read as a training curve: {error}; expected JSON lines. Delete the "
            "file and fetch it again"
        ) from error


def _parse(path: Path, number: int, line: str) -> tuple[int, dict[str, float]]:
    try:
        raw = json.loads(line)
        step = int(raw[STEP])
        items = raw.items()
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise ReleaseError(
            f"{path}, line {number} is {line[:60]!r}; expected a JSON object with a {STEP!r}. "
            "Delete the file and fetch it again"
        ) from error
    return step, {
        name: float(value)
        for name, value in items
        if name != STEP
        and isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
    }
