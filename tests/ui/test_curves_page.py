"""The page of curves without a browser: what the files store, and designed empty places."""

import json
import shutil

import pytest

from circuit_sparsity.release import ReleaseError, read_curves, read_viz
from tests.ui.conftest import MODEL, QUERY, SWEEP, TASK, K

YOLO1 = {"model": "csp_yolo1", "task": "single_double_quote", "sweep": "prune_v2", "k": "64"}


def subheaders(app):
    return [part.value for part in app.subheader]


def figures(app):
    return [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]


@pytest.fixture
def with_curve(own_cache, release_fixture):
    for folder in ("train_curves", "viz/csp_yolo1"):
        shutil.copytree(release_fixture / folder, own_cache / folder)
    return own_cache


def test_the_loss_of_every_circuit_here_stands_over_its_size(open_app, with_curve):
    app = open_app("curves", **YOLO1)
    (line,) = figures(app)[0]["data"]
    files = [
        read_viz(with_curve / "viz/csp_yolo1/single_double_quote/prune_v2" / k / "viz_data.pt")
        for k in ("16", "64", "128")
    ]
    assert line["x"] == [16, 64, 128]
    assert line["y"] == pytest.approx([file.circuit_loss for file in files])
    assert app.dataframe[0].value["nodes"].tolist() == [16, 64, 128]


def test_a_damaged_circuit_is_left_out_and_named(open_app, with_curve):
    folder = with_curve / "viz/csp_yolo1/single_double_quote/prune_v2"
    (folder / "16" / "viz_data.pt").write_bytes(b"no zip")
    app = open_app("curves", **YOLO1)
    assert figures(app)[0]["data"][0]["x"] == [64, 128]
    assert "Left out" in app.warning[0].value


def test_the_search_is_drawn_over_its_runs(open_app, cache):
    stored = read_viz(cache / "viz" / MODEL / TASK / SWEEP / K / "viz_data.pt")
    line = figures(open_app("curves", **QUERY))[1]["data"][0]
    assert line["x"] == [point.runs for point in stored.search]
    assert line["y"] == pytest.approx([point.loss for point in stored.search])


def test_the_settings_of_the_search_are_those_in_the_file(open_app, cache):
    stored = read_viz(cache / "viz" / MODEL / TASK / SWEEP / K / "viz_data.pt")
    shown = [frame.value for frame in open_app("curves", **QUERY).dataframe]
    frame = next(frame for frame in shown if "setting" in frame)
    found = dict(zip(frame["setting"], frame["value"], strict=True))
    assert found == {name: str(value) for name, value in stored.prune_config.items()}


def test_the_training_ends_with_what_its_file_ends_with(open_app, with_curve):
    app = open_app("curves", **QUERY)
    lines = (with_curve / "train_curves" / MODEL / "progress.json").read_text().splitlines()
    last = json.loads(lines[-1])
    shown = app.table[-1].value["value"]
    assert float(shown["test_xent"]) == pytest.approx(last["test_xent"], rel=1e-4)
    assert app.selectbox(key="metric").value == "test_xent"
    drawn = figures(app)[-1]["data"][0]
    assert drawn["y"] == [json.loads(line)["test_xent"] for line in lines]


def test_a_link_names_the_quantity_and_layers_are_one_picture(open_app, with_curve):
    app = open_app("curves", **QUERY, metric="num_alive_neurons")
    assert len(figures(app)[-1]["data"]) == 4


def test_without_a_curve_it_says_so_and_offers_to_look(open_app):
    app = open_app("curves", **QUERY)
    assert any("No training curve of" in part.value for part in app.info)
    assert "Look for it in the container" in [button.label for button in app.button]


def test_a_model_without_circuits_has_its_training_all_the_same(
    open_app, with_curve, release_fixture
):
    shutil.copytree(release_fixture / "models/dense1_1x", with_curve / "models/dense1_1x")
    shutil.copytree(with_curve / "train_curves/csp_yolo1", with_curve / "train_curves/dense1_1x")
    app = open_app("curves", model="dense1_1x")
    assert subheaders(app) == ["The training of the model"]
    assert any("No circuits of dense1" in part.value for part in app.info)
    assert len(figures(app)) == 1


def test_a_damaged_curve_is_a_message_that_names_the_line(open_app, with_curve):
    path = with_curve / "train_curves" / MODEL / "progress.json"
    path.write_text('{"step": 0, "test_xent": 7.0}\n{"step": 20, "te')
    app = open_app("curves", **QUERY)
    assert "line 2" in app.error[0].value


def test_quantities_that_are_no_finite_numbers_are_left_out(tmp_path):
    path = tmp_path / "progress.json"
    path.write_text('{"step": 1, "a": 1.5, "b": "x", "c": NaN}\n\n{"step": 2, "b": 3, "d": true}\n')
    curves = read_curves(path)
    assert {name: (c.steps, c.values) for name, c in curves.items()} == {
        "a": ((1,), (1.5,)),
        "b": ((2,), (3.0,)),
    }
    path.write_text("[1, 2]\n")
    with pytest.raises(ReleaseError, match="line 1"):
        read_curves(path)
