"""The circuit page tells how a circuit works where somebody has read it, and else says nothing."""

import pytest
from streamlit.testing.v1 import AppTest

from circuit_sparsity.experiment.opening import open_stored
from circuit_sparsity.explained.account import account_of
from circuit_sparsity.store import Store
from tests.ui.conftest import APP

TITLE = "How this circuit works"
READ = ("main", "single_double_quote", "full", "k43_seed0_full")
UNREAD = ("main", "indent_for", "full", "k42_seed0_full")


@pytest.fixture
def page(tmp_path, monkeypatch):
    """Opens the circuit page over what ships."""
    monkeypatch.setenv("CIRCUIT_SPARSITY_CACHE", str(tmp_path))

    def at(names: tuple[str, ...]) -> AppTest:
        app = AppTest.from_file(str(APP), default_timeout=400)
        for key, value in zip(("model", "task", "sweep", "k"), names, strict=True):
            app.query_params[key] = value
        app.run()
        assert not app.exception, app.exception
        return app

    return at


def accounts(app: AppTest) -> list[str]:
    """What stands in the folds of that title."""
    folds = [fold for fold in app.expander if fold.label == TITLE]
    return [text.value for fold in folds for text in fold.markdown]


def test_a_circuit_that_was_read_has_its_whole_account(page):
    account = account_of(open_stored(Store.from_environment(), *READ).circuit)
    assert accounts(page(READ)) == [(account or "").strip()]


def test_a_circuit_that_nobody_read_has_no_empty_fold(page):
    assert accounts(page(UNREAD)) == []
