"""Phrases that readers stumbled over stand nowhere on the screen."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
SCREEN = ("circuit_sparsity/ui", "circuit_sparsity/plots", "circuit_sparsity/explained",
          "circuit_sparsity/evidence", "circuit_sparsity/tasks", "circuit_sparsity/cli",
          "pages")  # fmt: skip
ODD = re.compile(
    "how often it is how strong|what to see of it|nobody can give back|could not be had|can be had"
    r"|without the \S+ other\b|hold it (against|to)\b|\bnot told\b|that decided?\b the size"
    "|prompts that decide|circuit as it is|take it with you|^held at$|^weights from$|goes over as"
    "|^follow .* with a |on which text|set against each other"
)


def texts(path: Path) -> Iterator[str]:
    """Every string of a file that is no docstring; parts of one f-string together."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = (p.value if isinstance(p, ast.Constant) else "0" for p in node.values)
            yield "".join(map(str, parts))
        elif (
            isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs
        ):
            yield node.value


def test_phrases_that_were_misread_are_nowhere_on_the_screen():
    files = [path for folder in SCREEN for path in sorted((ROOT / folder).rglob("*.py"))]
    assert len(files) > 100
    found = [
        f"{path.relative_to(ROOT)}: {text}"
        for path in files
        for text in texts(path)
        if ODD.search(text.lower())
    ]
    assert not found
