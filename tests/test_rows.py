"""The doors of the house: who may import whom. README and docs/DESIGN.md tell the same order."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = "circuit_sparsity"
ROWS = (  # a module imports only from rows before its own, and from its own package
    ("kernels", "store"),
    ("core",),
    ("circuits", "tasks"),
    ("runtime", "release", "programs"),
    ("experiment", "inference"),
    ("pruning", "training", "explained", "registries", "tiktoken_ext"),
    ("bridges",),
    ("evidence", "nodes", "patching"),
    ("export",),
    ("plots",),
    ("cli", "ui", "examples"),
    ("__main__",),
    ("opening", "labels", "recipes"),  # old names of what moved: they go with the next version
)
ROW_OF = {room: row for row, rooms in enumerate(ROWS) for room in rooms}
ONLY = {  # a library and the rooms that may know it
    "streamlit": {"ui", "pages", "app", "viz"},
    "plotly": {"plots"},
    "requests": {"store"},
    "numba": {"kernels"},
    "optuna": {"pruning"},
    "distributed": {"pruning"},
    "networkx": {"export"},
}
FILES = sorted([*(ROOT / PACKAGE).rglob("*.py"), *(ROOT / "pages").glob("*.py"), ROOT / "app.py"])


def room_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[1] if parts[0] == PACKAGE else parts[0]


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


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


def test_no_modules_import_each_other_in_a_circle():
    """Inside rooms too; the front door stands apart, since it imports nothing until asked."""
    modules = {module_of(path): path for path in FILES}
    known = {
        name: {part for part in imports(path) if part in modules and part not in (name, PACKAGE)}
        for name, path in modules.items()
        if name != PACKAGE
    }
    for name, path in modules.items():  # a name imported from a package is its module, if it is one
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module in modules and name in known:
                inner = {f"{node.module}.{alias.name}" for alias in node.names}
                known[name] |= inner & modules.keys()
                if inner <= modules.keys():  # only modules are taken from the package
                    known[name].discard(node.module)
    TopologicalSorter(known).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("path", sorted((ROOT / PACKAGE / "ui").rglob("*.py")), ids=str)
def test_the_room_of_a_page_imports_only_the_shell_and_its_own(path):
    ui = f"{PACKAGE}.ui."
    own = path.parent.name
    rooms = {name.removeprefix(ui).split(".")[0] for name in imports(path) if name.startswith(ui)}
    assert rooms <= {"shell", own}, f"{own} may not import {rooms - {'shell', own}}"


def test_only_the_commands_print():
    for path in (ROOT / PACKAGE).rglob("*.py"):
        if path.name == "__main__.py" or path.parent.name == "examples":
            continue
        calls = (n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call))
        names = {call.func.id for call in calls if isinstance(call.func, ast.Name)}
        assert "print" not in names, path
