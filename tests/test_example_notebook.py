"""The example notebook runs from top to bottom in a fresh process, and says what is true."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOK = ROOT / "docs" / "example.ipynb"
# The code cells in order, as a kernel runs them: one namespace, and the last line's value shown.
_RUN = """
import ast, json, sys
space = {}
for cell in json.load(open(sys.argv[1], encoding="utf-8"))["cells"]:
    if cell["cell_type"] != "code":
        continue
    *body, last = ast.parse("".join(cell["source"])).body
    if not isinstance(last, ast.Expr):
        body, last = [*body, last], None
    exec(compile(ast.Module(body, []), cell["id"], "exec"), space)
    if last is not None:
        shown = eval(compile(ast.Expression(last.value), cell["id"], "eval"), space)
        if shown is not None:
            print("shown", type(shown).__module__, type(shown).__name__)
print(json.dumps({name: space[name].delta for name in ("key", "edge")}))
"""


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _RUN, str(NOTEBOOK)],
        cwd=NOTEBOOK.parent,
        env=os.environ
        | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path_factory.mktemp("notebook"))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_it_opens_ablates_and_draws_the_shipped_circuit(lines):
    assert lines[0] == "starter · single_double_quote · prune · k44_seed0 - 44 nodes, 42 edges"
    assert lines.count("shown plotly.graph_objs._figure Figure") == 3


def test_the_ablation_costs_what_the_readme_says(lines):
    assert json.loads(lines[-1])["key"] == pytest.approx(0.57, abs=0.005)


def test_no_output_is_stored():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert all(not cell["outputs"] for cell in cells if cell["cell_type"] == "code")
