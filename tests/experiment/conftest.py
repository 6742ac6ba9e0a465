"""A user's empty folder and the smallest circuit, for what is kept beside circuits."""

import pytest

from circuit_sparsity.store import Store
from tests.handmade import sign_model


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "shipped", tmp_path / "own", "file:///nowhere")


@pytest.fixture(scope="module")
def circuit():
    return sign_model().circuit
