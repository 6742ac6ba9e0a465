"""A store with an empty folder, and services to fetch from."""

from pathlib import Path

import pytest
from azurite.emulator import NO_NODE, node
from azurite.fixtures import azurite, proxy

from circuit_sparsity.store import Store
from circuit_sparsity.store.retry import RetryPolicy

__all__ = ["azurite", "proxy"]

QUICK = RetryPolicy(
    tries=3, first_wait=0.01, longest_wait=0.02, longest_asked=1.0, connect=5.0, read=5.0
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Nothing shipped, nothing here, and an address where nobody listens."""
    (tmp_path / "shipped").mkdir()
    return Store(tmp_path / "shipped", tmp_path / "mine", "http://127.0.0.1:9/nobody", QUICK)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if node() is None:
        terminalreporter.write_line(NO_NODE, red=True, bold=True)
