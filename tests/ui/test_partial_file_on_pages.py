"""Circuit files as people make them, without what was measured, on every page."""

import re
from pathlib import Path

import pytest
import torch
from streamlit.testing.v1 import AppTest

from circuit_sparsity.experiment.opening import open_circuit, open_stored
from circuit_sparsity.experiment.reproduction import reproduce
from circuit_sparsity.release import ReleaseError
from circuit_sparsity.store import Store
from tests.ui.conftest import APP, MODEL, QUERY, SWEEP, TASK, K

PAGES = sorted(path.stem for path in (APP.parent / "pages").glob("*.py"))


def cut_down(cache: Path, samples: bool, task: str = TASK) -> None:
    """Leave the circuit alone in its file, or the circuit and the prompts to run it on."""
    path = cache / "viz" / MODEL / TASK / SWEEP / K / "viz_data.pt"
    whole = torch.load(path, weights_only=True)
    few = {"circuit_data": whole["circuit_data"]}
    if samples:
        few["importances"] = {"task_samples": whole["importances"]["task_samples"]}
    path.unlink()
    place = cache / "viz" / MODEL / task / SWEEP / K / "viz_data.pt"
    place.parent.mkdir(parents=True, exist_ok=True)
    torch.save(few, place)


def said(app: AppTest) -> str:
    boxes = (app.markdown, app.caption, app.info, app.warning, app.error)
    return "\n".join(one.value for kind in boxes for one in kind)


@pytest.mark.parametrize("samples", [True, False], ids=["prompts", "no_prompts"])
def test_every_page_opens_a_file_of_a_circuit_alone(own_cache: Path, samples: bool) -> None:
    cut_down(own_cache, samples)
    app = AppTest.from_file(str(APP), default_timeout=300)
    for key, value in QUERY.items():
        app.query_params[key] = value
    for name in PAGES:
        app.switch_page(f"pages/{name}.py").run()
        assert not app.exception, (name, app.exception)
        assert not app.error, (name, [one.value for one in app.error])
        metrics = [f"{one.label} {one.value} {one.delta}" for one in app.metric]
        assert "nan" not in re.findall(r"\w+", "\n".join((said(app), *metrics)).lower()), name


def test_stored_numbers_that_are_left_out_are_said_to_be_in_their_places(own_cache: Path) -> None:
    cut_down(own_cache, samples=True)
    app = AppTest.from_file(str(APP), default_timeout=300)
    for key, value in {**QUERY, "numbers": "Stored in the file"}.items():
        app.query_params[key] = value
    app.switch_page("pages/circuit.py").run()
    assert not app.exception, app.exception
    assert not app.error, [one.value for one in app.error]
    (loss,) = app.metric
    assert (loss.label, loss.value) == ("Task loss, nats", "not stored")
    assert "edges not stored" in said(app)
    assert "What nodes and edges cost is not stored in this file" in said(app)
    app.segmented_control(key="numbers").set_value("Live, run here").run()
    assert "No losses are stored in this circuit's file" in said(app)
    app.switch_page("pages/curves.py").run()
    assert "as stored in the chosen circuit's file: not stored" in said(app)


def test_a_circuit_without_prompts_runs_on_generated_ones(own_cache: Path) -> None:
    whole = open_circuit(MODEL, TASK, SWEEP, K)
    cut_down(own_cache, samples=False)
    alone = open_circuit(MODEL, TASK, SWEEP, K)
    assert alone.circuit.node_list == whole.circuit.node_list
    assert alone.batch_name == "256 generated prompts of bracket_counting; the file stores none"


def test_there_is_nothing_to_reproduce(own_cache: Path) -> None:
    cut_down(own_cache, samples=True)
    stored = open_stored(Store.from_environment(), MODEL, TASK, SWEEP, K)
    with pytest.raises(ValueError, match="lacks the losses of model and circuit"):
        reproduce(stored, open_circuit(MODEL, TASK, SWEEP, K))


def test_without_prompts_an_unknown_task_says_what_is_missing(own_cache: Path) -> None:
    cut_down(own_cache, samples=False, task="sums")
    with pytest.raises(ReleaseError, match="stores no prompts, and sums is none of the tasks"):
        open_circuit(MODEL, "sums", SWEEP, K)
