"""Shape annotations are checked while the tests run; the release's layout is unpacked once.

Tests of pages, commands and other things that are large as a whole run three times as long with
every call checked; `make test` runs those with ``CHECK_SHAPES=no``.
"""

import os
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
from jaxtyping import install_import_hook

if os.environ.get("CHECK_SHAPES") != "no":
    install_import_hook("circuit_sparsity", "beartype.beartype")


@pytest.fixture(autouse=True)
def main_module() -> Iterator[None]:
    """Streamlit's test of an app leaves the app as the main module: new processes would run it."""
    before = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = before


@pytest.fixture(scope="session")
def release_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The container's layout with tiny models and honestly computed circuits (79 MB).

    Shared by all tests of a run: read it, and copy what a test changes.
    """
    folder = tmp_path_factory.mktemp("release")
    archive = Path(__file__).parent / "data" / "release_fixture.tar.gz"
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return folder / "release_fixture"


@pytest.fixture
def few_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The quick preset on eight pairs of prompts: all its steps, at a tenth of the cost."""
    from circuit_sparsity.pruning import settings  # not before the hook above

    few = replace(settings.QUICK, pairs=8, evaluation_pairs=8)
    presets = MappingProxyType({**settings.PRESETS, "quick": few})
    monkeypatch.setattr(settings, "PRESETS", presets)
