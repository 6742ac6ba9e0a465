"""The circuit page without a browser: numbers, links, empty and bad states."""

import html
import json
import math
import re
import shutil
from urllib.parse import parse_qs

import pytest

from circuit_sparsity.core.names import Node
from circuit_sparsity.experiment.opening import open_circuit, open_tokenizer
from circuit_sparsity.store import Store
from tests.ui.conftest import MODEL, QUERY, SWEEP, TASK, K


@pytest.fixture
def experiment(cache):
    return open_circuit(MODEL, TASK, SWEEP, K)


@pytest.fixture
def effective(experiment):
    """The node whose ablation changes the loss most, and its effect."""
    effects = experiment.ablate_each(experiment.circuit.node_list)
    return max(effects, key=lambda effect: abs(effect.delta))


def metrics(app):
    return {metric.label: (metric.value, metric.delta) for metric in app.metric}


def number(text):
    return float(text.replace("\N{MINUS SIGN}", "-").split()[0])


def said(app):
    return "\n".join(part.value for part in (*app.error, *app.warning, *app.info))


def test_the_field_offers_exactly_the_nodes_and_edges_of_the_circuit(open_app, experiment):
    app = open_app(**QUERY)
    parts = (*experiment.circuit.node_list, *experiment.edges)
    assert app.multiselect(key="nodes").options == list(map(str, parts))
    assert app.multiselect(key="nodes").value == []


def test_the_circuit_and_its_model_are_measured_on_stated_prompts(open_app, experiment):
    app = open_app(**QUERY)
    loss, of_model = metrics(app)["Task loss, nats"]
    assert number(loss) == pytest.approx(experiment.of_circuit.loss, abs=1e-4)
    assert number(of_model.removeprefix("model ")) == pytest.approx(
        experiment.of_model.loss, abs=1e-4
    )
    assert any(f"{len(experiment.batch)} prompts" in caption.value for caption in app.caption)
    assert any("0.6931 nats" in caption.value for caption in app.caption)


def test_a_picked_node_is_ablated_and_the_effect_is_shown(open_app, experiment, effective):
    (node,) = effective.parts
    app = open_app(**QUERY)
    app.multiselect(key="nodes").select(str(node)).run()
    assert not app.exception
    loss, change = metrics(app)["Task loss, nats"]
    assert number(loss) == pytest.approx(effective.after.loss, abs=1e-4)
    assert number(change) == pytest.approx(effective.delta, abs=1e-4)
    right, _ = metrics(app)["p(right)"]
    assert number(right) == pytest.approx(effective.after.p_right, abs=1e-4)
    assert any(f"Without `{node}`" in text.value for text in app.markdown)
    before, after = (
        math.exp(-run.losses[0]) for run in (effective.before, effective.after)
    )  # of the right answer to the example, the first prompt
    told = next(text.value for text in app.markdown if text.value.startswith("On the example"))
    assert told.endswith(f" {before:.0%} → **{after:.0%}**")


def test_a_text_of_ones_own_is_the_example(open_app, experiment, effective):
    (node,) = effective.parts
    tokens = experiment.batch.tokens[0, : int(experiment.batch.last[0]) + 1].tolist()
    text = open_tokenizer(Store.from_environment(), MODEL).decode(tokens)
    app = open_app(**QUERY, nodes=[str(node)], example="my own", example_text=text)
    assert app.text_area(key="example_text").value == text
    before, after = (math.exp(-run.losses[0]) for run in (effective.before, effective.after))
    told = next(one.value for one in app.markdown if one.value.startswith("On the example"))
    assert told.endswith(f" {before:.0%} → **{after:.0%}**")
    app.text_area(key="example_text").set_value("x = (").run()
    assert not app.exception
    assert app.query_params["example_text"] == "x = ("


def test_a_view_is_named_found_again_and_deleted(open_app, own_cache, effective):
    (node,) = effective.parts
    app = open_app(**QUERY, nodes=[str(node)])
    app.text_input(key="new_view").set_value("<without it>").run()
    next(button for button in app.button if button.label == "Save").click().run()
    assert not app.exception
    (link,) = (part.proto.body for part in app.get("html") if "saved-view" in part.proto.body)
    assert "&lt;without it&gt;</a>" in link
    address = html.unescape(re.search(r'href="\?([^"]*)"', link)[1])
    assert parse_qs(address)["nodes"] == [str(node)]
    assert parse_qs(address)["k"] == [K]
    app.button(key="delete view <without it>").click().run()
    assert not any("saved-view" in part.proto.body for part in app.get("html"))


def test_two_picked_nodes_are_ablated_together(open_app, experiment, effective):
    other = next(n for n in experiment.circuit.node_list if n != effective.parts[0])
    both = [str(effective.parts[0]), str(other)]
    app = open_app(**QUERY)
    app.multiselect(key="nodes").set_value(both).run()
    _, change = metrics(app)["Task loss, nats"]
    assert number(change) == pytest.approx(experiment.ablate(both).delta, abs=1e-4)
    assert any("Without 2 nodes" in text.value for text in app.markdown)


def test_an_ablation_that_changes_nothing_says_so_aloud(open_app, experiment):
    effects = experiment.ablate_each(experiment.circuit.node_list)
    idle = next(e.parts[0] for e in effects if (e.after.losses == e.before.losses).all())
    app = open_app(**QUERY, nodes=[str(idle)])
    assert "This changed nothing" in said(app)


def test_a_link_with_nodes_restores_the_view(open_app, effective):
    (node,) = effective.parts
    app = open_app(**QUERY, nodes=[str(node)])
    assert app.multiselect(key="nodes").value == [str(node)]
    _, change = metrics(app)["Task loss, nats"]
    assert number(change) == pytest.approx(effective.delta, abs=1e-4)


def test_restore_all_takes_the_ablation_back(open_app, effective):
    app = open_app(**QUERY, nodes=[str(effective.parts[0])])
    next(b for b in app.button if b.label == "Restore all").click().run()
    assert app.multiselect(key="nodes").value == []
    assert metrics(app)["Task loss, nats"][1].startswith("model ")


def test_a_click_on_a_neighbour_goes_there(open_app, experiment):
    edge = max(experiment.edges, key=lambda edge: abs(edge.weight))
    app = open_app(**QUERY, nodes=[str(edge.source)])
    label = f"`{edge.target}`"
    next(b for b in app.button if b.label.startswith(label)).click().run()
    assert app.query_params["selected"] == str(edge.target)
    assert any(text.value == f"##### `{edge.target}`" for text in app.markdown)
    assert sum("circuit-fires" in part.proto.body for part in app.get("html")) == 1
    app.button(key="cut_selected").click().run()
    assert app.multiselect(key="nodes").value == [str(edge.source), str(edge.target)]


def test_neighbours_are_shown_with_sign_and_three_digits(open_app, experiment):
    edge = max(experiment.edges, key=lambda edge: abs(edge.weight))
    app = open_app(**QUERY, nodes=[str(edge.target)])
    labels = [button.label for button in app.button]
    sign = "+" if edge.weight > 0 else "\N{MINUS SIGN}"
    assert f"`{edge.source}` {sign}{abs(edge.weight):.3f}" in labels


def test_the_address_always_holds_the_whole_choice(open_app):
    app = open_app("circuit")
    assert {key: app.query_params[key] for key in QUERY} == QUERY


def test_the_table_has_every_node_with_its_degrees(open_app, experiment):
    app = open_app(**QUERY)
    table = app.dataframe[0].value
    assert list(table["node"]) == list(map(str, experiment.circuit.node_list))
    assert table["fed by"].sum() == table["feeds"].sum() > 0


@pytest.mark.parametrize(
    ("part", "value"),
    [("model", "no_such_model"), ("task", "no_such_task"), ("sweep", "x"), ("k", "9999999")],
)
def test_a_link_to_what_is_not_here_says_so_and_shows_what_is(open_app, part, value):
    app = open_app(**{**QUERY, part: value})
    assert f"asks for the {part}" in said(app)
    assert value.replace("_", "\\_") in said(app)
    assert app.session_state[part] == QUERY[part]
    assert metrics(app)


def test_a_link_to_nodes_that_are_not_kept_names_them_and_ablates_the_others(open_app, experiment):
    good = str(experiment.circuit.node_list[3])
    app = open_app(**QUERY, nodes=[good, "7.mlp.post_act:1", "<b>nonsense</b>"])
    assert "7.mlp.post\\_act\\:1" in said(app)
    assert "nonsense" in said(app)
    assert app.multiselect(key="nodes").value == [good]


def test_a_machine_without_circuits_says_how_to_get_one(open_app, own_cache):
    shutil.rmtree(own_cache / "viz")
    app = open_app("circuit")
    assert "No circuits on this machine yet" in said(app)
    assert "fetch" in said(app)


def test_a_circuit_without_its_model_says_how_to_get_it(open_app, own_cache):
    shutil.rmtree(own_cache / "models")
    app = open_app(**QUERY)
    assert not app.exception
    assert re.search(
        r"model.*csp", "\n".join(p.value for p in (*app.error, *app.info, *app.warning))
    )


def test_a_damaged_file_is_a_message_in_place(open_app, own_cache):
    path = own_cache / "viz" / MODEL / TASK / SWEEP / K / "viz_data.pt"
    path.write_bytes(path.read_bytes()[:1000])
    app = open_app(**QUERY)
    assert not app.exception
    assert len(app.error) == 1
    assert "viz\\_data.pt" in app.error[0].value


def test_a_file_that_is_replaced_is_drawn_anew(open_app, own_cache, release_fixture):
    before = open_app(**QUERY).multiselect(key="nodes").options
    other = release_fixture / "viz" / MODEL / "else_elif_beeg" / SWEEP / K / "viz_data.pt"
    shutil.copy(other, own_cache / "viz" / MODEL / TASK / SWEEP / K / "viz_data.pt")
    app = open_app(**QUERY)
    after = [name for name in app.multiselect(key="nodes").options if ">" not in name]
    assert set(after) != set(before)
    figure = json.loads(app.get("plotly_chart")[0].proto.spec)
    assert figure["data"][0]["customdata"][:-1] == after
    assert list(app.dataframe[0].value["node"]) == after


def test_a_link_switches_an_edge_off_and_holds_it_at_zero(open_app, experiment):
    edge = experiment.edges[0]
    app = open_app(**QUERY, nodes=[str(edge)], fill="zero")
    loss, _ = metrics(app)["Task loss, nats"]
    assert number(loss) == pytest.approx(experiment.ablate([edge], "zero").after.loss, abs=1e-4)
    assert any(f"Without `{edge}`" in text.value for text in app.markdown)


def test_every_node_shows_what_it_costs_alone(open_app, experiment):
    shown = open_app(**QUERY).dataframe[0].value
    (column,) = [name for name in shown.columns if name.startswith("rise of the loss")]
    effects = experiment.ablate_each(experiment.circuit.node_list)
    assert list(shown[column]) == pytest.approx([e.delta for e in effects], abs=1e-5)


def test_edges_are_ablated_one_by_one_when_asked(open_app, experiment):
    app = open_app(**QUERY)
    app.toggle(key="cost of edges").set_value(True).run()
    shown = app.dataframe[1].value
    effects = experiment.ablate_each(experiment.edges)
    assert list(shown.iloc[:, -1]) == pytest.approx([e.delta for e in effects], abs=1e-5)


def field(app):
    return next(one for one in app.text_input if one.label.startswith("Nodes to add"))


def test_a_named_node_outside_the_circuit_is_added(open_app, experiment):
    app = open_app(**QUERY)
    app.toggle(key="look outside").set_value(True).run()
    places = experiment.alive.items()
    node = next(
        f"{place}:{i}" for place, mask in places for i, on in enumerate(mask.tolist()) if not on
    )
    field(app).set_value(node).run()
    shown = app.dataframe[-1].value
    (effect,) = experiment.add_each([Node.parse(node)])
    assert list(shown["node"]) == [node]
    assert list(shown["change of the loss when added, nats"]) == pytest.approx([effect.delta])


def test_a_node_that_the_model_lacks_is_named(open_app):
    app = open_app(**QUERY)
    app.toggle(key="look outside").set_value(True).run()
    field(app).set_value("0.attn.q:99999").run()
    assert r"the model has no node 0.attn.q\:99999" in said(app)


def test_losses_on_the_page_are_below_what_two_answers_can_cost(open_app, experiment):
    assert 0 < experiment.of_circuit.p_right < 1
    assert math.isfinite(number(metrics(open_app(**QUERY))["Task loss, nats"][0]))


@pytest.mark.parametrize("is_stored", [False, True])
def test_one_block_shows_its_own_nodes_and_edges(open_app, own_cache, experiment, is_stored):
    if is_stored:
        shutil.rmtree(own_cache / "models" / MODEL)
    app = open_app(**QUERY, block="MLP 1")
    figure = json.loads(app.get("plotly_chart")[0].proto.spec)
    nodes = [str(n) for n in experiment.circuit.node_list if n.location.block_name == "1.mlp"]
    assert figure["data"][0]["customdata"][:-1] == nodes
    edges = [str(e) for e in experiment.edges if e.source.location.block_name == "1.mlp"]
    assert sorted(figure["data"][1]["customdata"]) == sorted(edges)
    assert open_app(**QUERY, block="nowhere").selectbox(key="block").value == "whole circuit"
