"""The compare page without a browser: B's pickers and links, the numbers, and empty places."""

import json
import math
import shutil

import pytest

from circuit_sparsity.experiment.opening import open_circuit
from tests.ui.conftest import MODEL, QUERY

STARTER = {
    "model": "starter",
    "task": "single_double_quote",
    "sweep": "prune",
    "k": "k44_seed0",
}
B = {
    "b_model": "starter",
    "b_task": "single_double_quote",
    "b_sweep": "full",
    "b_k": "k24_seed0_full",
}
YOLO1 = {"model": "csp_yolo1", "task": "single_double_quote", "sweep": "prune_v2", "k": "64"}


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """A fresh machine: only what ships."""
    monkeypatch.setenv("CIRCUIT_SPARSITY_CACHE", str(tmp_path / "fresh"))


@pytest.fixture
def open_shipped(shipped):
    from tests.ui.conftest import APP, AppTest

    def open_at(**query: str) -> AppTest:
        app = AppTest.from_file(str(APP), default_timeout=300)
        for key, value in query.items():
            app.query_params[key] = value
        app.run()
        app.switch_page("pages/compare.py").run()
        assert not app.exception, app.exception
        return app

    return open_at


def metrics(app):
    return {metric.label: (metric.value, metric.delta) for metric in app.metric}


def figure(app, number):
    return json.loads(app.get("plotly_chart")[number].proto.spec)


def frame(app, column):
    return next(t.value for t in app.dataframe if column in t.value.columns)


def said(app):
    return "\n".join(part.value for part in (*app.error, *app.warning, *app.info, *app.caption))


def nodes_of(*names):
    return set(open_circuit(*names).circuit.node_list)


def test_a_link_compares_two_circuits_and_counts_what_they_share(open_shipped):
    app = open_shipped(**STARTER, **B)
    a, b = nodes_of(*STARTER.values()), nodes_of(*B.values())
    assert metrics(app)["Nodes in both"] == (str(len(a & b)), f"A {len(a)} · B {len(b)}")
    assert metrics(app)["Overlap of nodes"][0] == f"{len(a & b) / len(a | b):.2f}"
    marks = [t for t in figure(app, 0)["data"] if t["mode"] == "markers"]
    assert [set(trace["customdata"]) for trace in marks] == [
        set(map(str, part)) for part in (a & b, a - b, b - a)
    ]
    table = frame(app, "what it is")
    assert table["in"].value_counts().get("only A", 0) == len(a - b)


def test_both_circuits_are_run_on_the_same_prompts(open_shipped):
    table = frame(open_shipped(**STARTER, **B), "what").set_index("what")
    a, b = open_circuit(*STARTER.values()), open_circuit(*B.values())
    losses = table["loss on the same prompts"]
    assert losses.iloc[0] == pytest.approx(a.of_circuit.loss, abs=1e-4)
    assert losses.iloc[1] == pytest.approx(b.of_circuit.loss, abs=1e-4)
    assert losses["whole model starter"] == pytest.approx(a.of_model.loss, abs=1e-4)


def test_circuits_of_two_tasks_answer_each_others_prompts(open_shipped):
    other = {**B, "b_task": "bracket_counting", "b_k": "k49_seed0_full"}
    table = frame(open_shipped(**STARTER, **other), "what")
    assert {"loss on prompts of A", "loss on prompts of B"} <= set(table.columns)
    # The quote circuit does not see brackets: its answers are no better than a guess.
    assert table["loss on prompts of B"][0] > math.log(2) - 0.05


def test_without_a_link_b_is_another_circuit_of_the_same_task(open_shipped):
    app = open_shipped(**STARTER)
    picked = [app.selectbox(key=key).value for key in B]
    assert picked[:3] == ["starter", "single_double_quote", "prune"]
    assert picked[3] != STARTER["k"]


def test_swapping_puts_b_into_the_sidebar(open_shipped):
    app = open_shipped(**STARTER, **B)
    next(b for b in app.button if b.label == "Swap A and B").click().run()
    assert not app.exception
    assert [app.selectbox(key=key).value for key in STARTER] == list(B.values())
    assert [app.selectbox(key=key).value for key in B] == list(STARTER.values())


def test_a_link_to_a_circuit_that_is_not_here_is_said(open_shipped):
    app = open_shipped(**STARTER, **{**B, "b_k": "k7"})
    assert "which is not on this machine" in said(app)
    assert "Nodes in both" in metrics(app)


def test_the_sweeps_stand_beside_each_other_by_nodes_and_edges(open_shipped):
    app = open_shipped(**STARTER, **B)
    for number, what in ((1, "nodes"), (2, "edges")):
        drawn = figure(app, number)
        assert [line["name"] for line in drawn["data"]] == ["full", "prune"]
        assert drawn["layout"]["xaxis"]["title"]["text"] == f"{what} kept"
    assert figure(app, 1)["data"][1]["x"] == [24, 44, 96, 192]


STARTERS_TEXT = "generated programs (bigrams 3.475)"


def starter_of(app) -> tuple[float, float]:
    """Held-out loss and edges at which the starter is drawn."""
    traces = [t for t in figure(app, 3)["data"] if t["mode"] == "markers+text"]
    (found,) = [
        (t["x"][i], t["y"][i]) for t in traces for i, n in enumerate(t["text"]) if n == "starter"
    ]
    return found


def test_the_model_stands_at_its_held_out_loss_and_the_mean_of_its_edges(open_shipped):
    app = open_shipped(**STARTER, **B, frontier_text=STARTERS_TEXT)
    both = ["bracket_counting", "single_double_quote"]
    app.multiselect(key="frontier_tasks").set_value(both).run()
    x, y = starter_of(app)
    assert x == pytest.approx(2.555, abs=1e-3)  # as the README has it
    assert y == pytest.approx(math.sqrt(22 * 49))
    assert "bracket\\_counting, single\\_double\\_quote" in said(app)


def test_the_mean_runs_over_the_chosen_tasks(open_shipped):
    app = open_shipped(**STARTER, **B, frontier_text=STARTERS_TEXT)
    app.multiselect(key="frontier_tasks").set_value(["bracket_counting"]).run()
    assert starter_of(app)[1] == pytest.approx(49)
    app.multiselect(key="frontier_tasks").set_value([]).run()
    assert not app.exception
    assert "Choose tasks" in said(app)


def test_models_stand_together_only_on_the_text_that_they_share(open_shipped):
    app = open_shipped(**STARTER, **B)
    (trace,) = [t for t in figure(app, 3)["data"] if t["mode"] == "markers+text"]
    text = app.segmented_control(key="frontier_text")
    assert text.value == "standard library (bigrams 4.387)"  # the one that most models share
    shared = {"dense", "double_l0", "half_l0", "half_width", "main"}
    assert set(trace["text"]) == {*shared, "bridge_main"}
    text.set_value("generated programs (bigrams 3.637)").run()
    (trace,) = [t for t in figure(app, 3)["data"] if t["mode"] == "markers+text"]
    assert set(trace["text"]) == shared


def test_one_circuit_alone_has_nothing_to_be_compared_with(open_app):
    app = open_app("compare", **QUERY)
    assert "No other circuit of a model of this shape" in said(app)
    assert "No model here has both" in said(app)


def test_models_of_another_shape_are_not_offered(open_app, own_cache, release_fixture):
    for name in ("viz/csp_yolo1", "models/csp_yolo1"):
        shutil.copytree(release_fixture / name, own_cache / name)
    app = open_app("compare", **YOLO1)
    assert MODEL not in app.selectbox(key="b_model").options
    assert app.selectbox(key="b_k").options == ["16", "128"]


def test_without_the_model_the_stored_parts_are_compared(open_app, own_cache, release_fixture):
    shutil.copytree(release_fixture / "viz/csp_yolo1", own_cache / "viz/csp_yolo1")
    app = open_app("compare", **YOLO1)
    assert "Nodes in both" in metrics(app)
    assert "Not run: csp\\_yolo1 is not on this machine" in said(app)
