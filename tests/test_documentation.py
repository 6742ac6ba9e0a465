"""The README names what exists, and what it links to is there."""

import re
from pathlib import Path

import pytest

from circuit_sparsity.__main__ import COMMANDS
from circuit_sparsity.evidence.definitions import DEFINITIONS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
TARGETS = re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("page", sorted((ROOT / "pages").glob("*.py")), ids=lambda path: path.stem)
def test_the_readme_names_every_page(page):
    assert f"pages/{page.name}" in README


@pytest.mark.parametrize("command", COMMANDS)
def test_the_readme_names_every_command(command):
    assert f"python -m circuit_sparsity {command}" in README


@pytest.mark.parametrize("one", DEFINITIONS.values(), ids=DEFINITIONS)
def test_measures_are_defined_in_the_documents_as_on_the_page(one):
    text = (ROOT / "docs" / "EVIDENCE.md").read_text(encoding="utf-8")
    assert f"| {one.name} | {one.sentence} | {one.unit} | {one.anchor} |" in text


@pytest.mark.parametrize("target", TARGETS)
def test_the_readme_names_every_make_target(target):
    assert f"make {target}" in README


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_linked_file_exists(document):
    for link in re.findall(r"\]\(([^)#]+)", document.read_text(encoding="utf-8")):
        if "://" not in link:
            assert (document.parent / link).exists(), link


def test_every_package_is_pinned():
    for name in ("requirements.txt", "requirements-cluster.txt", "requirements-dev.txt"):
        for line in (ROOT / name).read_text().splitlines():
            package = line.split("#")[0].strip()
            assert not package or package.startswith("-r ") or "==" in package, line
