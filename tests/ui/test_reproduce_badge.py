"""The circuit page's badge: one click computes the stored numbers again, as a job."""

import shutil
import time

import pytest

from circuit_sparsity.ui.circuit.reproduced import KIND
from circuit_sparsity.ui.shell.jobs import jobs
from tests.ui.conftest import MODEL, QUERY


@pytest.fixture(autouse=True)
def no_jobs():
    yield
    for job in jobs().all([KIND]):
        job.stop()
        jobs().forget(job.key)


def press(app):
    app.button(key="reproduce").click().run()
    job = jobs().all([KIND])[-1]
    for _ in range(1200):
        if not job.active:
            break
        time.sleep(0.1)
    app.run()
    assert not app.exception
    return job


def test_a_click_says_how_far_the_stored_numbers_are_from_those_computed_here(open_app):
    app = open_app(**QUERY)
    result = press(app).result()
    assert result.agrees
    (said,) = [part.value for part in app.success]
    assert "Reproduced" in said
    assert f"{result.losses['nodes'].count:,} nodes" in said
    table = next(f.value for f in app.dataframe if "stored numbers" in f.value)
    assert table["too far apart"].tolist() == [0] * 6


def test_the_same_request_twice_is_one_job(open_app):
    first, second = open_app(**QUERY), open_app(**QUERY)
    press(first)
    second.run()
    assert [part.value for part in second.success] == [part.value for part in first.success]


def test_what_is_missing_is_said_where_it_cannot_be_done(open_app, own_cache):
    shutil.rmtree(own_cache / "models" / MODEL)
    app = open_app(**QUERY)
    assert any(
        "cannot be computed again here" in part.value and "final_model.pt" in part.value
        for part in app.caption
    )
    assert "reproduce" not in [button.key for button in app.button]
