"""The documents name what exists, and what they link to is there."""

import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from circuit_sparsity.cli import COMMANDS
from circuit_sparsity.evidence.definitions import DEFINITIONS

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
TARGETS = re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)


def text_of(document: str) -> str:
    return (ROOT / "docs" / document).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", sorted((ROOT / "pages").glob("*.py")), ids=lambda path: path.stem)
def test_the_pages_are_documented(page):
    assert f"pages/{page.name}" in text_of("PAGES.md")


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_and_their_json_are_documented(command):
    assert f"python -m circuit_sparsity {command}" in text_of("COMMANDS.md")
    assert command == "app" or f"\n## {command}\n" in text_of("JSON.md")


@pytest.mark.parametrize("one", DEFINITIONS.values(), ids=DEFINITIONS)
def test_measures_are_defined_in_the_documents_as_on_the_page(one):
    row = f"| {one.name} | {one.sentence} | {one.unit} | {one.anchor} |"
    assert row in text_of("EVIDENCE.md")


@pytest.mark.parametrize("target", TARGETS)
def test_the_make_targets_are_documented(target):
    assert f"make {target}" in text_of("CONTRIBUTING.md")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_linked_file_exists(document):
    for link in re.findall(r"\]\(([^)#]+)", document.read_text(encoding="utf-8")):
        if "://" not in link:
            assert (document.parent / link).exists(), link


def test_every_package_is_pinned():
    for name in (path.name for path in ROOT.glob("requirements*.txt")):
        for line in (ROOT / name).read_text().splitlines():
            package = line.split("#")[0].strip()
            assert not package or package.startswith("-r ") or "==" in package, line


@pytest.mark.parametrize("tutorial", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_runs_from_top_to_bottom(tutorial, tmp_path):
    blocks = re.findall(
        r"^```python\n(.*?)^```", tutorial.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join(blocks)],
        cwd=tmp_path,
        env=os.environ
        | {"PYTHONPATH": str(ROOT), "CIRCUIT_SPARSITY_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_document_has_its_place_in_the_site():
    listed = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for document in (ROOT / "docs").rglob("*.md"):
        assert f": {document.relative_to(ROOT / 'docs').as_posix()}\n" in listed


def test_the_site_is_built_and_nothing_in_it_is_fetched(tmp_path):
    if importlib.util.find_spec("mkdocs") is None:
        pytest.skip("LOUD SKIP: mkdocs is not installed (requirements-docs.txt)")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "-q", "--strict", "-d", str(tmp_path / "site")],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {
        path.relative_to(tmp_path / "site").as_posix(): path.read_text(encoding="utf-8")
        for path in (tmp_path / "site").rglob("*.html")
    }
    documents = (path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md"))
    assert {path.with_suffix(".html").as_posix() for path in documents} <= set(pages)
    assert len([name for name in pages if name.startswith("tutorials/")]) == 3
    for name in ("open_circuit", "prune", "load_model", "from_pretrained", "Store", "read_pairs"):
        assert re.search(rf'id="circuit_sparsity\.[\w.]*{name}"', pages["REFERENCE.html"]), name
    fetched = re.compile(r'<(?:script|img)[^>]*src="https?:|<link[^>]*stylesheet[^>]*href="https?:')
    assert not any(fetched.search(text) for text in pages.values())


def test_the_image_runs_as_nobody_in_particular_and_keeps_its_cache():
    """Read, not built: no Docker is at hand where this runs."""
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    told = {line.split()[0]: line for line in lines if line and not line.startswith(("#", " "))}
    assert told["USER"] == "USER explorer"
    assert told["VOLUME"] == "VOLUME /cache"
    assert "CIRCUIT_SPARSITY_CACHE=/cache" in told["ENV"]
    assert "/_stcore/health" in told["HEALTHCHECK"]
    assert told["ENTRYPOINT"] == 'ENTRYPOINT ["circuit-sparsity"]'
    assert any("download.pytorch.org/whl/cpu" in line for line in lines)
    copied = [part for line in lines if line.startswith("COPY") for part in line.split()[1:-1]]
    own = [part for part in copied if not part.startswith(("--", "/"))]
    assert all((ROOT / part).exists() for part in own), own
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    needed = ("app.py", "pages", "cache", "settings", ".streamlit", "README.md", "LICENSE")
    assert not set(needed) & set(ignored)


def test_what_is_tested_lies_in_the_ranges_that_the_package_states():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pinned = re.findall(r"^([\w-]+)==(\S+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    stated = dict(one.split(">=") for one in project["dependencies"])
    assert stated.keys() == dict(pinned).keys()
    for name, version in pinned:
        assert _numbers(version) >= _numbers(stated[name]), name


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]
