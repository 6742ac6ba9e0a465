"""What the tests of tasks share."""

import tarfile
from pathlib import Path

import pytest

from circuit_sparsity.core.tokenizer import Tokenizer, load_tokenizer

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(scope="session")
def release(tmp_path_factory) -> Tokenizer:
    """The released tokenizer of 2,048 tokens."""
    folder = tmp_path_factory.mktemp("tokenizer")
    with tarfile.open(DATA / "release_fixture.tar.gz") as archive:
        for member in archive:
            name = Path(member.name).name
            if name in ("vocab.bpe", "encoder.json") and "tinypython" in member.name:
                reader = archive.extractfile(member)
                assert reader is not None
                (folder / name).write_bytes(reader.read())
    return load_tokenizer(folder)
