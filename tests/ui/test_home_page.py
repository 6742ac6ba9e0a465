"""The first page: what its cards say is true of what ships, and where they lead."""

import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from circuit_sparsity import open_circuit
from circuit_sparsity.store import Store
from circuit_sparsity.ui.home.home import CARDS, kept
from tests.ui.conftest import APP

CIRCUITS = [choice for card in CARDS for choice in card.circuits]


@pytest.fixture(autouse=True)
def fresh_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what ships."""
    monkeypatch.setenv("CIRCUIT_SPARSITY_CACHE", str(tmp_path / "fresh"))


@pytest.mark.parametrize("choice", CIRCUITS, ids=" ".join)
def test_a_card_says_what_the_circuits_evidence_says(choice):
    path = Store.from_environment().path_of_viz(*choice)
    assert path is not None
    told = json.loads(path.with_name("evidence.json").read_text())
    said = kept()[" ".join(choice)]
    assert (said["nodes"], said["edges"]) == (told["nodes"], told["edges"])
    assert said["loss"] == pytest.approx(told["sufficiency"], abs=1e-3)
    assert said["picture"].count("<circle") == told["nodes"]


def test_a_card_says_how_often_the_circuit_is_right():
    choice = CARDS[0].circuits[0]
    measured = open_circuit(*choice).of_circuit.accuracy
    assert kept()[" ".join(choice)]["accuracy"] == pytest.approx(measured, abs=1e-3)


def test_an_address_that_asks_for_nothing_opens_the_first_page_and_its_cards_lead_on():
    app = AppTest.from_file(str(APP), default_timeout=300).run()
    assert not app.exception, app.exception
    assert app.title[0].value == "Circuit explorer"
    assert app.button[0].label.startswith("Take the tour")
    assert [one.value for one in app.markdown if one.value.startswith("####")] == [
        f"#### {card.title}" for card in CARDS
    ]
    choice = CARDS[2].circuits[1]
    app.button(key=f"open {' '.join(choice)}").click().run()
    assert not app.exception, app.exception
    assert tuple(app.query_params[part] for part in choice._fields) == choice


def test_an_address_with_a_circuit_opens_that_circuit_and_names_are_said_for_people():
    choice = CARDS[0].circuits[0]
    app = AppTest.from_file(str(APP), default_timeout=300)
    for part, value in choice._asdict().items():
        app.query_params[part] = value
    app.run()
    assert not app.exception, app.exception
    assert app.title[0].value == "Circuit"
    assert app.selectbox(key="task").value == choice.task
    assert "Close a quote" in app.selectbox(key="task").options
    assert "24 nodes, loss 0.11" in app.selectbox(key="k").options
    assert {part: app.query_params[part] for part in choice._fields} == choice._asdict()
