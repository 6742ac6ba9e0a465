"""The recipe on the circuit page, without a browser: levels, effects, history, link, replay."""

import json

import pytest

from circuit_sparsity.circuits.recipe import Recipe
from circuit_sparsity.experiment.opening import open_circuit
from circuit_sparsity.experiment.recipes import (
    effects,
    faithfulness_of,
    in_whole_model,
    on_pair,
)
from circuit_sparsity.ui.circuit import graph
from tests.ui.conftest import MODEL, QUERY, SWEEP, TASK, K


@pytest.fixture(scope="module")
def experiment(shared_cache):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CIRCUIT_SPARSITY_CACHE", str(shared_cache))
        return open_circuit(MODEL, TASK, SWEEP, K)


@pytest.fixture(scope="module")
def parts(experiment):
    """The two nodes whose ablation changes the loss most."""
    each = experiment.ablate_each(experiment.circuit.node_list)
    return [str(e.parts[0]) for e in sorted(each, key=lambda e: -abs(e.delta))[:2]]


def change(app):
    metric = next(m for m in app.metric if m.label == "Task loss, nats")
    return float(metric.delta.replace("\N{MINUS SIGN}", "-").split()[0])


def texts(app):
    return "\n".join(part.value for part in (*app.markdown, *app.caption))


def asked(app):
    """The steps of the address."""
    steps = app.query_params.get("how", [])
    return [steps] if isinstance(steps, str) else list(steps)


def button(app, label):
    return next(one for one in app.button if one.label == label)


def signed(value):
    return f"{value:+.4f}".replace("-", "\N{MINUS SIGN}")


def test_a_link_sets_one_node_and_scales_another(open_app, experiment, parts):
    steps = [f"{parts[0]}=0.5", f"{parts[1]}*2"]
    app = open_app(**QUERY, nodes=parts, how=steps)
    assert not app.exception
    wanted = experiment.apply(Recipe.parse(steps)).delta
    assert change(app) == pytest.approx(wanted, abs=1e-4)
    assert "With 2 nodes changed" in texts(app)
    assert asked(app) == steps
    assert app.selectbox(key=f"how {parts[0]}").value == "set"
    assert app.number_input(key=f"value {parts[1]}").value == 2.0


def test_a_step_is_held_at_what_its_fields_say_and_the_link_follows(open_app, experiment, parts):
    app = open_app(**QUERY, nodes=parts)
    app.selectbox(key=f"how {parts[0]}").set_value("scale").run()
    app.number_input(key=f"value {parts[0]}").set_value(-1.0).run()
    wanted = experiment.apply(Recipe.parse([f"{parts[0]}*-1", parts[1]])).delta
    assert change(app) == pytest.approx(wanted, abs=1e-4)
    assert asked(app) == [f"{parts[0]}*-1"]


def test_a_bad_step_of_a_link_is_named_and_the_rest_restored(open_app, experiment, parts):
    app = open_app(**QUERY, nodes=parts, how=[f"{parts[0]}=0.5", "nonsense=<b>", "0.attn.q:1*nan"])
    said = "\n".join(warning.value for warning in app.warning)
    assert "nonsense" in said
    wanted = experiment.apply(Recipe.parse([f"{parts[0]}=0.5", parts[1]])).delta
    assert change(app) == pytest.approx(wanted, abs=1e-4)


def test_each_step_shows_its_effect_alone_and_so_far_and_all_their_interaction(
    open_app, experiment, parts
):
    app = open_app(**QUERY, nodes=parts)
    found, said = effects(experiment, Recipe.parse(parts)), texts(app)
    for step in found.steps:
        assert f"alone **{signed(step.alone)}** · so far **{signed(step.so_far)}**" in said
    assert f"interaction **{signed(found.interaction)}**" in said


def test_undo_redo_and_history_lead_back_and_forth(open_app, parts):
    app = open_app(**QUERY)
    app.multiselect(key="nodes").set_value(parts[:1]).run()
    app.multiselect(key="nodes").set_value(parts).run()
    app.selectbox(key=f"how {parts[0]}").set_value("zero").run()
    button(app, "Undo").click().run()
    assert app.multiselect(key="nodes").value == parts
    assert asked(app) == []
    button(app, "Undo").click().run()
    assert app.multiselect(key="nodes").value == parts[:1]
    button(app, "Redo").click().run()
    button(app, "Redo").click().run()
    assert asked(app) == [f"{parts[0]}=zero"]
    button(app, "Restore all").click().run()
    assert app.multiselect(key="nodes").value == []
    button(app, "Undo").click().run()
    assert app.multiselect(key="nodes").value == parts
    app.button(key="moment 0").click().run()
    assert app.multiselect(key="nodes").value == []
    assert not app.exception


def test_the_meter_follows_what_is_changed(open_app, experiment, parts):
    def shown(app):
        return next(h.proto.body for h in app.get("html") if 'role="meter"' in h.proto.body)

    whole = faithfulness_of(experiment, experiment.of_circuit)
    less = faithfulness_of(experiment, experiment.apply(Recipe.parse(parts)).after)
    if whole is None or less is None:
        assert "undefined" in texts(open_app(**QUERY))
        return
    assert f"<b>{whole:.3f}</b>" in shown(open_app(**QUERY))
    assert f"<b>{less:.3f}</b>" in shown(open_app(**QUERY, nodes=parts))


def test_a_recipe_is_replayed_on_one_pair_and_written_as_python(open_app, experiment, parts):
    app = open_app(**QUERY, nodes=parts, replay="one of its pairs", replay_pair="2")
    there = on_pair(experiment, 1)
    metric = next(m for m in app.metric if m.label == "Rise of the loss, replayed")
    assert metric.value == f"{signed(there.apply(Recipe.parse(parts)).delta)} nats"
    assert "on_pair(circuit, 1)" in app.code[0].value
    assert parts[0] in app.code[0].value


def test_a_set_is_added_at_once(open_app, experiment):
    app = open_app(**QUERY)
    name = next(option for option in app.selectbox(key="add_set").options if "all of" in option)
    app.selectbox(key="add_set").set_value(name).run()
    assert len(app.multiselect(key="nodes").value) == int(name.split(", ")[1].split()[0])


def test_of_many_edges_the_strongest_are_drawn_until_one_asks_for_all(
    open_app, experiment, monkeypatch
):
    monkeypatch.setattr(graph, "DRAWN", 3)
    app = open_app(**QUERY)
    strongest = sorted(experiment.edges, key=lambda edge: -abs(edge.weight))
    drawn = json.loads(app.get("plotly_chart")[0].proto.spec)["data"]
    assert 0 < len(drawn[1]["customdata"]) <= 3
    assert str(strongest[0]) in drawn[1]["customdata"]
    assert drawn[0]["meta"]["partial"]
    app.select_slider(key="weight").set_value("0").run()
    drawn = json.loads(app.get("plotly_chart")[0].proto.spec)["data"]
    assert len(drawn[1]["customdata"]) == len(experiment.edges)
    assert not drawn[0]["meta"]["partial"]


def test_weak_edges_leave_the_picture_and_the_count_says_so(open_app, experiment):
    app = open_app(**QUERY)
    stop = app.select_slider(key="weight").options[-1]
    app.select_slider(key="weight").set_value(stop).run()
    strong = [e for e in experiment.edges if abs(e.weight) >= float(stop)]
    assert 0 < len(strong) < len(experiment.edges)
    assert f"showing {len(strong)} of {len(experiment.edges)} edges, |w| ≥ {stop}" in texts(app)
    figure = json.loads(app.get("plotly_chart")[0].proto.spec)
    assert sorted(figure["data"][1]["customdata"]) == sorted(map(str, strong))


@pytest.mark.parametrize("by", ["activation on a prompt", "difference of the two prompts"])
def test_colours_by_activation_tell_it_in_the_hover_text(open_app, by):
    app = open_app(**QUERY, colour=by)
    assert not app.exception
    figure = json.loads(app.get("plotly_chart")[0].proto.spec)
    first = figure["data"][0]["hovertext"][0]
    for words in ("activation, class 1", "class 1 − class 2", "mean activation", "when ablated"):
        assert words in first


def test_paths_are_rows_of_chips_or_their_lack_is_said(open_app):
    app = open_app(**QUERY, paths="true")
    assert not app.exception
    drawn = [part.proto.body for part in app.get("html") if "circuit-path" in part.proto.body]
    said = "\n".join(info.value for info in app.info)
    assert drawn or "No path leads from" in said
    assert all("writes residual channel" in one for one in drawn)


def test_a_film_of_one_size_says_what_it_needs(open_app):
    app = open_app(**QUERY, view="film over k")
    assert "only one size here" in "\n".join(info.value for info in app.info)


def test_the_recipe_is_carried_out_in_the_whole_model_beside_the_circuit(
    open_app, experiment, parts
):
    app = open_app(**QUERY, nodes=parts)
    metric = next(m for m in app.metric if m.label == "Whole model with the recipe")
    wanted = in_whole_model(experiment, Recipe.parse(parts)).loss
    assert float(metric.value) == pytest.approx(wanted, abs=1e-4)
    assert f"from {experiment.of_model.loss:.4f}" in metric.delta
    assert f"at their means its loss is {experiment.of_complement.loss:.4f}" in texts(app)


def test_colours_by_activation_on_ones_own_text_name_text_and_token(open_app, experiment):
    app = open_app(**QUERY, colour="activation on your text", prompt="x = [1, 2", colour_token="2")
    assert "on token 2" in texts(app)
    assert any("of your text “x·=·[1,·2”" in html.value for html in app.get("html"))
    assert app.text_area(key="prompt").value == "x = [1, 2"
    app.number_input(key="colour_token").set_value(1).run()
    assert "1" in app.query_params["colour_token"]
    app.text_area(key="prompt").set_value("").run()
    assert not app.exception
    assert "Type the beginning" in app.info[0].value
