"""The prune page without a browser: asking, watching, opening, and every size from one run."""

import errno
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from circuit_sparsity.experiment.experiment import Cancelled
from circuit_sparsity.experiment.opening import open_circuit, open_stored, task_of
from circuit_sparsity.pruning import request as ways
from circuit_sparsity.pruning.request import open_cut
from circuit_sparsity.pruning.settings import Goal
from circuit_sparsity.store import Store
from circuit_sparsity.tasks.task import CHANCE_LOSS
from circuit_sparsity.ui.prune import jobs as prune_jobs
from circuit_sparsity.ui.prune.jobs import KINDS
from circuit_sparsity.ui.shell.jobs import jobs
from tests.ui.conftest import MODEL, QUERY

PAIRS = "prompt,right,wrong,counterpart\n" + "".join(
    f"for {x}, in,:,while {x}\n" for x in ("a", "b", "c", "d", "e")
)
PATIENCE = 120.0  # seconds


@pytest.fixture(autouse=True)
def no_jobs(monkeypatch, few_pairs):
    monkeypatch.setattr(ways, "DOCUMENT_WINDOWS", 2)
    yield
    for job in jobs().all(KINDS):
        job.stop()
        _end(job)
        jobs().forget(job.key)


def _end(job):
    end = time.monotonic() + PATIENCE
    while job.active:
        assert time.monotonic() < end, "a job did not end"
        time.sleep(0.05)


@pytest.fixture
def page(open_app, own_cache) -> AppTest:
    app = open_app("prune", **QUERY)
    app.segmented_control(key="prune_goal").set_value("Exact number of nodes")
    run(app).number_input(key="prune_k").set_value(12)
    return run(app)


def run(app):
    app.run()
    assert not app.exception, app.exception
    return app


def start(app):
    app.button(key="prune_start").click()
    run(app)
    return jobs().all(["prune"])[-1]


def wait(app):
    for job in jobs().all(KINDS):
        _end(job)
    return run(app)


def said(app):
    kinds = (app.success, app.warning, app.error, app.info)
    return "\n".join(part.value for kind in kinds for part in kind).replace("\\", "")


def press(app, label):
    next(button for button in app.button if button.label == label).click()
    return run(app)


def test_what_was_pruned_is_stored_said_and_chosen(page):
    found = start(page).result()
    assert "12 nodes" in said(wait(page))
    it = open_circuit(*found.choice)
    assert (it.circuit.size, it.circuit.sweep) == (12, "local")
    assert found.test_loss == pytest.approx(it.of_circuit.loss)
    assert f"{it.of_circuit.loss:.4f}" in said(page)
    assert found.test_loss > CHANCE_LOSS  # as the model's: its weights are random
    (doubt,) = (part.value for part in page.warning if "12 nodes" in part.value)
    assert "no better than a guess" in doubt
    assert "Neither is the whole model" in doubt
    press(page, "Open the circuit")  # which leads to its page in a browser alone
    assert [page.selectbox(key=part).value for part in QUERY] == list(found.choice)


def test_a_number_that_changes_with_the_click_counts(page):
    page.number_input(key="prune_k").set_value(13)  # and no run before the click
    assert start(page).result().nodes == 13


def test_a_size_that_changes_with_the_click_is_the_one_that_is_kept(page):
    start(page).result()
    wait(page).number_input(key="sizes_k").set_value(7)
    page.button(key="keep_cut").click()
    run(page)
    assert jobs().all(KINDS)[-1].result().nodes == 7


def test_means_over_an_uploaded_text_are_pruned_with_and_told(page, open_app):
    page.segmented_control(key="prune_means").set_value("Means over my text")
    text = "for name in names:\n    print(name)\n" * 400
    run(page).file_uploader(key="prune_means_file").set_value(("mine.py", text.encode(), "text/x"))
    found = start(run(page)).result()
    over = open_circuit(*found.choice).circuit.found.means_over
    assert over.endswith(" tokens")
    assert "_mine.py, " in over
    shown = open_app("circuit", **dict(zip(QUERY, found.choice, strict=True)))
    assert any(over.split(",")[0] in part.value.replace("\\", "") for part in shown.caption)


def test_a_text_that_is_not_utf8_is_said_and_the_models_means_are_taken(page):
    page.segmented_control(key="prune_means").set_value("Means over my text")
    run(page).file_uploader(key="prune_means_file").set_value(("x.txt", b"\xff\xfe", "text/x"))
    assert "x.txt is not UTF-8 text" in said(run(page))
    assert start(page).result().choice[-1] == "k12_seed0_quick"


def test_a_second_browser_sees_the_job_and_the_same_request_is_the_same_job(page, open_app):
    first = start(page)
    other = open_app("prune", **QUERY)
    assert jobs().all(["prune"]) == (first,)
    wait(other)
    assert "12 nodes" in said(other)
    assert start(page) is first


def test_a_running_job_shows_its_stage_and_can_be_cancelled(page, monkeypatch):
    told = threading.Event()

    def endless(request, store, observer, task):
        told.set()
        assert observer.cancel.wait(PATIENCE)
        raise Cancelled("stopped after 3 of 200 steps")

    monkeypatch.setattr(prune_jobs, "carry_out", endless)
    job = start(page)
    assert told.wait(PATIENCE)
    assert any("Opening the model" in part.value for part in run(page).markdown)
    press(page, "Cancel")
    _end(job)
    assert "was stopped; nothing is stored" in said(run(page))


def test_a_target_that_no_size_meets_names_the_lowest_loss(page):
    page.segmented_control(key="prune_goal").set_value("Target loss")
    run(page).number_input(key="prune_target").set_value(1e-4)
    job = start(run(page))
    wait(page)
    assert f"the lowest was {job.error.lowest:.4f} nats" in said(page)


def test_more_nodes_than_the_model_has_cannot_be_asked_for(page):
    page.number_input(key="prune_k").set_value(10**7)
    run(page)
    assert "10,000,000 nodes were asked for; the model has" in said(page)
    assert page.button(key="prune_start").disabled
    assert page.number_input(key="prune_k").value == 10**7


def test_own_pairs_are_pruned_on_and_belong_to_the_circuit(page):
    page.selectbox(key="prune_task").set_value("Own pairs")
    run(page).text_area(key="prune_own_pairs").set_value(PAIRS)
    found = start(run(page)).result()
    assert found.choice.task.startswith("my_pairs_")
    it = open_circuit(*found.choice)
    task = task_of(Store.from_environment(), it.circuit)
    assert {pair.positive.text for pair in task.all_pairs} == {f"for {x}" for x in "abcde"}
    assert it.batch.n_pairs == 1  # a quarter of five, rounded down, is for tests


@pytest.mark.parametrize(
    ("text", "trouble"),
    [
        ("prompt,right\na,b\n", "the fields are prompt, right"),
        (PAIRS + "for z,,:,while z\n", "line 7: right is ''"),
        ("\n".join(PAIRS.split("\n")[:3]), "expected at least 4"),
        ('{"prompt": 1}', "line 1: the fields are prompt"),
    ],
)
def test_bad_pairs_are_named_in_place_and_stay_in_the_field(page, text, trouble):
    page.selectbox(key="prune_task").set_value("Own pairs")
    run(page).text_area(key="prune_own_pairs").set_value(text)
    run(page)
    assert trouble in said(page)
    assert page.button(key="prune_start").disabled
    assert page.text_area(key="prune_own_pairs").value == text


def test_what_was_typed_is_there_after_a_look_at_another_page(page):
    page.selectbox(key="prune_task").set_value("Own pairs")
    run(page).text_area(key="prune_own_pairs").set_value("half a th")
    run(page)
    page.switch_page("pages/library.py").run()
    page.switch_page("pages/prune.py").run()
    assert page.text_area(key="prune_own_pairs").value == "half a th"


def test_without_a_run_the_slider_says_where_it_will_be(page):
    assert "No run of csp_yolo2 is stored here yet" in said(page)


def test_a_run_gives_the_circuit_of_every_size(page):
    found = start(page).result()
    page.session_state["sizes_k"] = 30
    wait(page)
    store = Store.from_environment()
    stored = open_stored(store, *found.choice).circuit
    circuit = open_cut(store, stored).circuit(Goal(k=30), minimal=False)
    decides = circuit.found.worst_loss
    shown = {metric.label: metric.value for metric in page.metric}
    assert shown["Loss, size-choosing prompts"] == f"{decides:.4f}"
    page.button(key="keep_cut").click()
    run(page)
    kept = jobs().all(["cut"])[-1].result()
    it = open_circuit(*kept.choice)
    assert it.circuit.nodes == circuit.nodes
    assert shown["Loss, test prompts"] == f"{it.of_circuit.loss:.4f}"
    assert kept.choice == (MODEL, "bracket_counting", "local", f"{found.choice.k}_cut30")


def test_a_size_can_be_refined(page):
    found = start(page).result()
    page.session_state["sizes_k"] = 20
    wait(page).button(key="refine_cut").click()
    run(page)
    kept = jobs().all(["cut"])[-1].result()
    assert kept.nodes == 20
    stored = open_stored(Store.from_environment(), *kept.choice).circuit
    assert stored.found.minimality.nodes == 20
    assert kept.choice.k == f"{found.choice.k}_refined20"


def test_a_search_can_begin_with_the_circuit_on_screen(page, open_app, own_cache):
    first = start(page).result()
    app = open_app("prune", **dict(zip(QUERY, first.choice, strict=True)))
    app.segmented_control(key="prune_goal").set_value("Exact number of nodes")
    run(app).number_input(key="prune_k").set_value(12)
    app.segmented_control(key="prune_start_from").set_value("The circuit on screen")
    run(app)
    again = start(app).result()
    assert again.choice.k.endswith(f"_from_{first.choice.k}")
    stored = open_stored(Store.from_environment(), *again.choice).circuit
    assert stored.found.start.endswith(first.choice.k)


def test_the_graph_forms_on_the_page(page, monkeypatch):
    told, go_on = threading.Event(), threading.Event()
    real = prune_jobs.carry_out

    def slow(request, store, observer, task):
        def wait_at(snapshot):
            observer.snapshot(snapshot)
            told.set()
            assert go_on.wait(PATIENCE)

        return real(request, store, replace(observer, snapshot=wait_at), task)

    monkeypatch.setattr(prune_jobs, "carry_out", slow)
    job = start(page)
    assert told.wait(PATIENCE)
    charts = run(page).get("plotly_chart")
    nodes = job.progress.nodes
    drawn = "".join(str(json.loads(chart.proto.spec)) for chart in charts)
    go_on.set()
    kept = [f"{place}:{channel}" for place, some in nodes.items() for channel in some]
    assert kept
    assert all(name in drawn for name in kept) or "nodes on<extra>" in drawn


def test_a_full_disk_loses_nothing(page, monkeypatch):
    full = threading.Event()
    full.set()
    real = ways.write_viz

    def write(stored, path):
        if full.is_set():
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(stored, path)

    monkeypatch.setattr(ways, "write_viz", write)
    monkeypatch.setattr(ways, "PAUSE", 0.05)
    job = start(page)
    end = time.monotonic() + PATIENCE
    while job.progress is None or job.progress.stage != "disk full":
        assert job.active, job.error
        assert time.monotonic() < end
        time.sleep(0.05)
    text = said(run(page))
    assert "became full while" in text
    assert "found and not lost" in text
    full.clear()
    assert open_circuit(*job.result().choice).circuit.size == 12


def test_what_the_end_of_the_app_cuts_off_is_named_and_started_again(page, own_cache):
    """The app is a process of its own, killed while it learns."""
    script = Path(__file__).parent.parent / "prune_app.py"
    with subprocess.Popen(
        [sys.executable, str(script), MODEL, "for_while", "12"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(script.parent.parent)},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "began\n"
        assert "was interrupted" not in said(run(page))  # it runs, elsewhere
        process.kill()
    assert not list(own_cache.rglob("*.tmp"))
    assert "was interrupted when the app closed" in said(run(page))
    press(page, "Start again")
    found = jobs().all(["prune"])[-1].result()
    assert (found.choice.task, found.nodes) == ("for_while", 12)
    assert "was interrupted" not in said(run(page))
