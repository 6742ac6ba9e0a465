"""The tasks page without a browser, on the starter that ships."""

import time

import pytest
from streamlit.testing.v1 import AppTest

from circuit_sparsity.tasks import TASKS
from tests.ui.conftest import APP


@pytest.fixture
def page(tmp_path, monkeypatch):
    monkeypatch.setenv("CIRCUIT_SPARSITY_CACHE", str(tmp_path))

    def opened(**query):
        app = AppTest.from_file(str(APP), default_timeout=300)
        for key, value in query.items():
            app.query_params[key] = value
        app.run()
        app.switch_page("pages/tasks.py").run()
        assert not app.exception, app.exception
        return app

    return opened


def test_every_task_has_a_row_with_what_the_card_stores(page):
    frame = page(model="starter").dataframe[0].value.set_index("task")
    assert list(frame.index) == list(TASKS)
    assert set(frame["from"]) == {"stored"}
    assert frame.loc["class_init", "novel, right"] == pytest.approx(51)


def test_pairs_are_shown_as_tokens_with_their_difference_and_answers(page):
    app = page(model="starter", shown_task="for_while")
    html = "".join(part.proto.body for part in app.get("html"))
    assert html.count("differs from the other prompt") == 6
    assert "·in" in html
    fewer = page(model="starter", shown_task="for_while", task_examples="1")
    html = "".join(part.proto.body for part in fewer.get("html"))
    assert html.count("differs from the other prompt") == 2
    splits = app.dataframe[1].value.set_index("split")
    assert splits.loc["test", "of them novel"] == splits.loc["test", "structures"] == 4


def test_measuring_here_is_a_job_that_replaces_what_is_stored(page, monkeypatch):
    some = {name: TASKS[name] for name in ("for_while", "else_elif")}
    monkeypatch.setattr("circuit_sparsity.ui.tasks.tasks.TASKS", some)
    app = page(model="starter")
    app.button(key="measure_tasks").click().run()
    for _ in range(240):
        if "measured here" in set(app.dataframe[0].value["from"]):
            break
        time.sleep(0.5)
        app.run()
    frame = app.dataframe[0].value
    assert set(frame["from"]) == {"measured here"}
    assert frame["novel, right"].between(50, 100).all()


def test_without_a_model_here_tasks_are_listed_all_the_same(open_app):
    app = open_app("tasks", model="csp_yolo2")
    assert list(app.dataframe[0].value["task"]) == list(TASKS)
    assert set(app.dataframe[0].value["from"]) == {"not measured"}
