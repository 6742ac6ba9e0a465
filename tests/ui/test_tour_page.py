"""The tour without a browser: every step shows what the library measures, links and gaps too."""

from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from circuit_sparsity.experiment.opening import open_circuit
from circuit_sparsity.explained.attack import ATTACKS, Answers, Strength
from circuit_sparsity.explained.tour import costliest
from circuit_sparsity.ui.shell.attacks import in_words
from circuit_sparsity.ui.shell.pickers import TOUR
from tests.ui.conftest import APP


@pytest.fixture(scope="module")
def shipped():
    return open_circuit(*TOUR)


@pytest.fixture
def tour(tmp_path, monkeypatch):
    """Opens the tour over what ships."""
    monkeypatch.setenv("CIRCUIT_SPARSITY_CACHE", str(tmp_path))

    def at(**query: str) -> AppTest:
        app = AppTest.from_file(str(APP), default_timeout=300)
        for key, value in query.items():
            app.query_params[key] = value
        app.run()
        app.switch_page("pages/tour.py").run()
        assert not app.exception, app.exception
        return app

    return at


def values(app):
    return {metric.label: metric.value for metric in app.metric}


def test_next_leads_through_all_steps_and_each_has_its_numbers(tour, shipped):
    app = tour()
    few = shipped.batch.select(range(32))  # so many pairs the tour has
    losses = replace(shipped, batch=few).of_circuit.losses
    surest = int((losses[:32] + losses[32:]).argmin())  # of the pair that it begins with
    assert f"{float((-losses[surest]).exp()):.1%}" in values(app)["Circuit alone"]
    for step in range(2, 8):
        app.button(key="tour Next").click().run()
        assert not app.exception
        assert not app.error
        assert app.subheader[0].value.startswith(f"{step}. ")
        if step == 2:
            shown = values(app)
            assert shown["Circuit"] == f"{shipped.of_circuit.loss:.4f}"
            assert shown["Empty circuit"] == f"{shipped.of_nothing.loss:.4f}"
    assert app.button(key="tour Next").disabled


def test_a_link_opens_its_step_and_breaking_is_undone(tour, shipped):
    app = tour(step="6")
    (worst, *_) = costliest(shipped.ablate_each(shipped.circuit.node_list))
    assert str(worst) in app.button(key="tour off").label
    app.button(key="tour off").click().run()
    after = shipped.ablate([worst]).after.loss
    assert float(values(app)[f"Without {worst}"]) == pytest.approx(after, abs=1e-4)
    app.button(key="tour undo").click().run()
    assert f"Without {worst}" not in values(app)


def test_a_link_to_no_step_says_so_and_begins(tour):
    app = tour(step="99")
    assert "99" in app.warning[0].value
    assert app.subheader[0].value.startswith("1. ")


def test_where_nothing_ships_the_tour_says_what_is_missing(open_app):
    app = open_app("tour")
    assert "ships with the explorer" in app.info[0].value
    assert not app.metric


@pytest.mark.parametrize(
    ("circuit", "words"), [(0.9, "does not explain the model"), (0.1, "does the same")]
)
def test_words_say_whether_the_circuit_fails_with_the_model(circuit, words):
    strong, weak = Answers(0.9, 0.9), Answers(0.02, 0.9)
    curve = [Strength(0, 8, strong, strong), Strength(1, 8, weak, Answers(circuit, 0.9))]
    said = in_words(ATTACKS["the other mark inside"], curve)
    assert words in said
    assert "p 0.02" in said
