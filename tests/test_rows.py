"""The doors of the house: who may import whom. README and docs/DESIGN.md tell the same order."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = "circuit_sparsity"
ROWS = (  # a module imports only from rows before its own, and from its own package
    ("names", "hooks"),
    ("sparse", "tokenizer", "store"),
    ("model",),
    ("engine",),
    ("checkpoint",),
    ("conversion",),
    ("inference",),
    ("tasks", "circuits"),
    ("release", "ready", "labels"),
    ("experiment",),
    ("measurement", "opening", "reproduction", "explained", "scores"),
    ("training",),
    ("pruning",),
    ("sweep",),
    ("evidence", "nodes", "texts", "bridges"),
    ("claims",),
    ("export", "recipes"),
    ("plots",),
    ("commands", "ui"),
    ("__main__",),
)
ROW_OF = {room: row for row, rooms in enumerate(ROWS) for room in rooms}
ONLY = {  # a library and the rooms that may know it
    "streamlit": {"ui", "pages", "app"},
    "plotly": {"plots"},
    "requests": {"store"},
    "numba": {"sparse"},
    "optuna": {"sweep"},
    "distributed": {"sweep"},
    "networkx": {"export"},
}
FILES = sorted([*(ROOT / PACKAGE).rglob("*.py"), *(ROOT / "pages").glob("*.py"), ROOT / "app.py"])


def room_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[1] if parts[0] == PACKAGE else parts[0]


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            if node.module == PACKAGE:
                yield from (f"{PACKAGE}.{alias.name}" for alias in node.names)
            else:
                yield node.module


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_keep_their_direction(path):
    room = room_of(path)
    row = ROW_OF.get(room, len(ROWS))  # pages and app.py stand behind every row
    for name in imports(path):
        top, _, rest = name.partition(".")
        if top == PACKAGE and rest:
            other = rest.split(".")[0]
            assert other in ROW_OF, f"{name} is in no row: give it one"
            assert other == room or ROW_OF[other] < row, f"{room} may not import {other}"
        elif top in ONLY:
            assert room in ONLY[top], f"{room} may not know {top}"


def test_only_the_commands_print():
    for path in (ROOT / PACKAGE).rglob("*.py"):
        if path.name == "__main__.py":
            continue
        calls = (n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call))
        names = {call.func.id for call in calls if isinstance(call.func, ast.Name)}
        assert "print" not in names, path
