"""The section of claims alone, as a page of its own."""

import pytest
from streamlit.testing.v1 import AppTest

from circuit_sparsity.evidence.claims.values import Claims, EdgeCount, Missing, write_claims


def script() -> None:
    from circuit_sparsity.ui.compare import claims
    from circuit_sparsity.ui.shell import messages

    with messages.in_place():
        claims.section()


@pytest.fixture
def opened(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("CIRCUIT_SPARSITY_CACHE", str(tmp_path / "own"))

    def run() -> AppTest:
        app = AppTest.from_function(script, default_timeout=120).run()
        assert not app.exception, app.exception
        return app

    return run, tmp_path / "own"


def test_claims_stand_beside_the_papers_numbers_and_what_is_missing_is_told(opened):
    run, folder = opened
    counts = tuple(
        EdgeCount(model, "a", "learned masks", 0, target, edges, edges, target)
        for model, edges in (("thin", 20), ("thick", 400))
        for target in (0.05, 0.15)
    )
    write_claims(Claims("thin", "thick", counts, missing=(Missing("b", "no ranking"),)), folder)
    app = run()
    frame = app.table[0].value
    row = frame.loc["Fig. 2: dense over sparse edges at 0.15 nats"]
    assert (row["the paper"], row["here"]) == ("24x (5,800 / 240)", "20.0x (400 / 20)")
    assert app.dataframe[0].value["why"].tolist() == ["no ranking"]
    assert len(app.get("plotly_chart")) == 1
    assert any("claims --model thin --dense thick" in part.value for part in app.caption)


def test_without_anything_measured_it_says_how(opened):
    run, _ = opened
    assert "python -m circuit_sparsity claims" in run().info[0].value


def test_a_damaged_file_is_a_message(opened):
    run, folder = opened
    folder.mkdir()
    (folder / "claims.json").write_text("{")
    assert "claims.json cannot be read" in run().error[0].value
