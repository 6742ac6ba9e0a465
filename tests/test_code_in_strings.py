"""Code that a test or benchmark hands to another process names modules that are there.

A rename reaches no string by itself, and a script in one fails only where it runs.
"""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
IMPORT = re.compile(r"^\s*from (circuit_sparsity[\w.]*) import ([\w, ]+)$", re.MULTILINE)


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """(module, name) of every import that a string of this file spells out."""
    for part in ast.walk(ast.parse(path.read_text())):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            for module, names in IMPORT.findall(part.value):
                for name in names.split(","):
                    yield module, name.split(" as ")[0].strip()


def is_there(module: str, name: str) -> bool:
    try:
        if hasattr(importlib.import_module(module), name):
            return True
        importlib.import_module(f"{module}.{name}")
    except ImportError:
        return False
    return True


FOUND = sorted(
    {
        (str(path.relative_to(ROOT)), *found)
        for folder in ("tests", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
        if "node_modules" not in path.parts
        for found in imports(path)
    }
)


def test_some_are_found() -> None:
    assert len(FOUND) > 5


@pytest.mark.parametrize(("file", "module", "name"), FOUND)
def test_what_a_string_imports_is_there(file: str, module: str, name: str) -> None:
    assert is_there(module, name), f"{file} imports {name} from {module}"
