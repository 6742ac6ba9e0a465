"""Accounts as a whole: claims have tests, nodes are the circuits', the document lists all."""

import ast
import re
from pathlib import Path

import pytest

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.core.names import Node
from circuit_sparsity.experiment.opening import open_stored
from circuit_sparsity.explained.account import ACCOUNTS, account_of
from circuit_sparsity.store import Store
from tests.explained.accounts import claims

HERE = Path(__file__).parent
FILES = sorted(ACCOUNTS.glob("*.md"))
DOCUMENT = HERE.parent.parent / "docs" / "CIRCUITS.md"


@pytest.fixture(scope="module", params=FILES, ids=lambda path: path.stem.split(".")[1])
def circuit(request) -> Circuit:
    model, task, sweep, k = request.param.stem.split(".")
    return open_stored(Store.from_environment(), model, task, sweep, k).circuit


def marks_of_tests() -> list[str]:
    """The marks of the claims that functions of this folder are named after."""
    names = (
        node.name
        for path in HERE.glob("test_account_of_*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
    )
    return [found[1].upper() for name in names if (found := re.match(r"test_([a-z]\d+)_", name))]


def test_every_claim_has_a_test_and_every_test_a_claim():
    marks = [mark for path in FILES for mark in claims(path.read_text(encoding="utf-8"))]
    assert len(FILES) == 3
    assert sorted(marks) == sorted(marks_of_tests())


def test_every_node_that_an_account_names_is_kept_by_its_circuit(circuit):
    account = account_of(circuit) or ""
    nodes = re.findall(r"`(\w[\w.]*:\d+)", account)
    assert len(set(nodes)) > 10
    for node in nodes:
        assert circuit.keeps(Node.parse(node)), node


def test_the_sizes_in_the_document_are_those_of_the_circuits(circuit):
    text = DOCUMENT.read_text(encoding="utf-8")
    (row,) = [line for line in text.splitlines() if f"| `{circuit.task}`" in line]
    assert f"{circuit.k}.md)" in row
    assert f"| {circuit.size} " in row


def test_a_claim_is_what_stands_before_its_mark():
    text = "Head.\n\nOne thing [A1]. Another\nof two lines [A2].\n\n- A point [A3]\n- More [A4]\n"
    found = {
        "A1": "One thing ",
        "A2": ". Another of two lines ",
        "A3": "- A point ",
        "A4": "- More ",
    }
    assert claims(text) == found


def test_a_circuit_without_an_account_has_none():
    assert account_of(Circuit({}, "main", "single_double_quote", "full", "k44_seed0_full")) is None
