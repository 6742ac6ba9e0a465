"""The evidence page without a browser: nothing yet, measuring, troubles, damage."""

import json
import time
from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from circuit_sparsity.evidence.definitions import DEFINITIONS
from circuit_sparsity.evidence.evidence import Control, Evidence, read_evidence, write_evidence
from circuit_sparsity.evidence.prunings import NONSENSE, UNTRAINED
from circuit_sparsity.experiment.opening import open_circuit
from circuit_sparsity.pruning import request as ways
from circuit_sparsity.pruning.request import PruneRequest, carry_out
from circuit_sparsity.pruning.settings import QUICK
from circuit_sparsity.store import Store
from circuit_sparsity.ui.evidence import jobs as evidence_jobs
from circuit_sparsity.ui.shell.jobs import jobs
from tests.ui.conftest import APP, MODEL, QUERY, SWEEP, TASK, K

FOLDER = f"viz/{MODEL}/{TASK}/{SWEEP}/{K}"


@pytest.fixture(autouse=True)
def no_jobs(monkeypatch):
    monkeypatch.setattr(ways, "DOCUMENT_WINDOWS", 2)
    yield
    for job in jobs().all([evidence_jobs.KIND]):
        job.stop()
        end(job)
        jobs().forget(job.key)


def end(job):
    for _ in range(2400):
        if not job.active:
            return
        time.sleep(0.05)
    raise AssertionError("a job did not end")


def said(parts):
    return "\n".join(part.value for part in parts).replace("\\", "")


def html(app):
    return "\n".join(part.value if hasattr(part, "value") else part.proto.body
                     for part in app.get("html"))  # fmt: skip


def press(app, key):
    app.button(key=key).click().run()
    job = jobs().all([evidence_jobs.KIND])[-1]
    end(job)
    app.run()
    assert not app.exception, app.exception
    return job


@pytest.fixture
def measured(own_cache) -> Evidence:
    """Stored evidence with one good control."""
    it = open_circuit(MODEL, TASK, SWEEP, K)
    found = Evidence(
        circuit=it.circuit.title,
        prompts="8 prompts",
        nodes=it.circuit.size,
        edges=3,
        learnable_nodes=100,
        model_nodes=1000,
        model_loss=0.01,
        empty_loss=0.69,
        sufficiency=0.125,
        necessity=0.75,
        faithfulness=0.83,
        completeness=-0.1,
        kl=0.2,
        exact_match=0.9,
        exact_match_full=0.8,
        minimality={"0.attn.act_in:1": 0.3, "0.attn.act_in:2": -0.1},
        relative_sparsity=0.1,
        full_sparsity=0.01,
        controls=(Control("random nodes", "8 prompts", (0.7, 0.8), 0.125, (0.02,), 0.75),),
    )
    write_evidence(found, Store.from_environment(), it.circuit)
    return found


def test_a_circuit_without_evidence_says_what_could_be_measured(open_app):
    app = open_app("evidence", **QUERY)
    assert all(one.sentence in app.info[0].value for one in DEFINITIONS.values())
    assert app.button(key="evidence_short").label == "Measure"


def test_a_click_measures_stores_and_shows(open_app, own_cache):
    app = open_app("evidence", **QUERY)
    evidence = press(app, "evidence_short").result()
    it = open_circuit(MODEL, TASK, SWEEP, K)
    assert evidence.sufficiency == pytest.approx(it.of_circuit.loss, abs=1e-6)
    assert read_evidence(Store.from_environment(), it.circuit) == evidence
    table = html(app)
    assert f"{evidence.necessity:.4f}" in table
    assert f"model {evidence.model_loss:.4f}" in table
    losses = json.loads(app.get("plotly_chart")[-1].proto.spec)["data"]
    drawn = {(x, y) for line in losses for x, y in zip(line["x"], line["y"], strict=True)}
    assert drawn == {(point.nodes, point.loss) for point in evidence.curve}


def test_every_measure_has_unit_baseline_and_definition(open_app, measured):
    table = html(open_app("evidence", **QUERY))
    for one in DEFINITIONS.values():
        if one.key != "controls":
            assert one.sentence.replace("'", "&#x27;") in table
            assert one.unit in table
    assert "random nodes 0.7500" in table
    assert "1 of 2 nodes at 0 or less" in table


def test_a_verdict_and_four_numbers_come_first(open_app, measured):
    app = open_app("evidence", **QUERY)
    assert said(app.success).startswith("**It holds up:**")
    shown = {one.label: one.value for one in app.metric[:4]}
    assert shown == {
        "Loss with these nodes alone": "0.125",
        "Loss without these nodes": "0.750",
        "Same answer as the model": "90%",
        "Loss of the best control": "0.700",  # the lower of the two
    }
    circuit = open_circuit(MODEL, TASK, SWEEP, K).circuit
    write_evidence(replace(measured, controls=()), Store.from_environment(), circuit)
    assert "Undecided" in said(open_app("evidence", **QUERY).warning)


def test_a_control_as_good_as_the_circuit_is_called_out(open_app, measured):
    app = open_app("evidence", **QUERY)
    assert not app.error
    assert "no control looks as good" in said(app.success)
    assert '"trouble"' not in html(app)
    circuit = open_circuit(MODEL, TASK, SWEEP, K).circuit
    bad = Control(NONSENSE, "8 prompts", (0.1,), 0.125)
    write_evidence(measured.with_control(bad), Store.from_environment(), circuit)
    app = open_app("evidence", **QUERY)
    assert "Shuffled answers: a control has a loss of 0.1000" in said(app.error)
    assert '<span class="trouble">shuffled answers 0.1000</span>' in html(app)
    far = replace(measured, target=0.01)
    write_evidence(far, Store.from_environment(), circuit)
    app = open_app("evidence", **QUERY)
    assert "it does not carry over" in said(app.error)
    assert "Not convincing:** one check speaks against" in said(app.error)


def test_damaged_evidence_is_named_and_measured_again(open_app, own_cache):
    (own_cache / FOLDER / "evidence.json").write_text("{")
    app = open_app("evidence", **QUERY)
    assert "cannot be read" in said(app.error)
    press(app, "evidence_short")
    assert "cannot be read" not in said(app.error)


def test_a_released_circuit_cannot_be_pruned_for_again(open_app, measured):
    assert open_app("evidence", **QUERY).button(key="evidence_long").disabled


def test_controls_and_stability_of_a_circuit_found_here(open_app, own_cache):
    few = replace(QUICK, pairs=8, evaluation_pairs=8)
    made = carry_out(PruneRequest(MODEL, "for_while", k=12, settings=few))
    names = dict(zip(QUERY, (MODEL, "for_while", "local", made.circuit.k), strict=True))
    app = open_app("evidence", **names)
    evidence = press(app, "evidence_long").result()
    assert evidence.ranking == "the run that found the circuit"
    assert {NONSENSE, UNTRAINED} <= {control.name for control in evidence.controls}
    assert evidence.stability.nodes == (12, 12, 12)
    assert "seeds 0, 1, 2: 12, 12, 12 nodes" in html(app)
    assert "evidence_long" not in [button.key for button in app.button]


def test_a_link_chooses_the_attack(tmp_path, monkeypatch):
    monkeypatch.setenv("CIRCUIT_SPARSITY_CACHE", str(tmp_path))
    app = AppTest.from_file(str(APP), default_timeout=300)
    names = {"model": "starter", "task": "bracket_counting", "sweep": "full", "k": "k49_seed0_full"}
    for key, value in (names | {"attack": "brackets in a comment"}).items():
        app.query_params[key] = value
    app.run()
    app.switch_page("pages/evidence.py").run()
    assert not app.exception, app.exception
    assert app.segmented_control(key="attack").value == "brackets in a comment"
