"""Fixtures for whoever wants a real blob service: import them into a conftest.py."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from azurite.emulator import NO_NODE, Azurite, node, running
from azurite.fault_proxy import FaultProxy


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """A running emulator."""
    if node() is None:
        pytest.skip(NO_NODE)
    folder: Path = tmp_path_factory.mktemp("azurite")
    with running(folder) as service:
        yield service


@pytest.fixture
def proxy(azurite: Azurite) -> Iterator[FaultProxy]:
    """A way to the emulator on which faults can be made; add a container's name to its `url`."""
    with FaultProxy(azurite.account_url) as standing_before:
        yield standing_before
