"""Shape annotations are checked while the tests run; the release's layout is unpacked once."""

import tarfile
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

install_import_hook("circuit_sparsity", "beartype.beartype")


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
