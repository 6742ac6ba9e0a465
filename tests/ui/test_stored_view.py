"""A circuit's stored numbers: of nodes, edges, blocks and biases, with and without its model."""

import shutil

import pytest

from circuit_sparsity.circuits.edges import Edge
from circuit_sparsity.plots.words import signed
from circuit_sparsity.release import read_viz
from tests.ui.conftest import MODEL, QUERY, SWEEP, TASK, K

STORED = {"numbers": "Stored in the file"}
RISE = "stored rise of the loss, nats"


@pytest.fixture
def stored(cache):
    return read_viz(cache / "viz" / MODEL / TASK / SWEEP / K / "viz_data.pt")


@pytest.fixture
def without_model(own_cache):
    shutil.rmtree(own_cache / "models" / MODEL)


def frames(app):
    return [frame.value for frame in app.dataframe]


def metrics(app):
    return {metric.label: (metric.value, metric.delta) for metric in app.metric}


def texts(app):
    return "\n".join(part.value for part in (*app.markdown, *app.caption))


def name(edge):
    return str(Edge(edge.source, edge.target, edge.weight))


def test_stored_numbers_are_a_choice_away_where_the_model_is_here(open_app, stored):
    app = open_app(**QUERY)
    assert metrics(app)["p(right)"]
    app.segmented_control(key="numbers").set_value("Stored in the file").run()
    assert not app.exception
    loss = f"{stored.circuit_loss:.4f}"
    assert metrics(app) == {"Task loss, nats": (loss, f"model {stored.model_loss:.4f}")}
    assert "every number below is **stored**" in texts(app)


def test_a_link_to_numbers_of_no_kind_shows_live_ones(open_app):
    assert "p(right)" in metrics(open_app(**QUERY, numbers="imagined"))


def test_without_the_model_there_is_no_choice(open_app, without_model):
    assert not any(one.key == "numbers" for one in open_app(**QUERY).segmented_control)


def test_every_edge_stands_in_a_table_with_its_stored_cost(open_app, stored):
    frame = next(f for f in frames(open_app(**QUERY, **STORED)) if {"source", RISE} <= set(f))
    assert frame[RISE].tolist() == pytest.approx([edge.delta for edge in stored.edges])
    assert frame["weight"].tolist() == pytest.approx([edge.weight for edge in stored.edges])


def test_every_block_stands_in_a_table_with_its_stored_cost(open_app, stored):
    frame = next(f for f in frames(open_app(**QUERY, **STORED)) if "what" in f)
    rises = dict(zip(frame["what"], frame[RISE], strict=True))
    assert rises["MLP 1"] == pytest.approx(stored.block_losses["1.mlp"] - stored.circuit_loss)
    assert len(rises) == len(stored.block_losses) == 2 * stored.config.n_layer
    kept = dict(zip(frame["what"], frame["nodes kept"], strict=True))
    assert kept["attention 0"] == sum(
        node.location.block_name == "0.attn" for node in stored.circuit.node_list
    )


def test_a_picked_edge_says_weight_and_stored_cost(open_app, stored, without_model):
    edge = max(stored.edges, key=lambda one: abs(one.delta))
    app = open_app(**QUERY, nodes=[name(edge)])
    value, delta = metrics(app)["Task loss, nats, stored"]
    assert value == f"{stored.circuit_loss + edge.delta:.4f}"
    assert delta == f"{signed(edge.delta, 4)} from {stored.circuit_loss:.4f}"
    assert f"Weight **{signed(edge.weight)}** from " in texts(app)


def test_nodes_and_edges_picked_together_each_say_their_own(open_app, stored, without_model):
    edge, node = stored.edges[0], stored.circuit.node_list[0]
    said = texts(open_app(**QUERY, nodes=[str(node), name(edge)]))
    assert f"`{node}` {signed(stored.node_delta(node), 4)} nats" in said
    assert f"`{name(edge)}` {signed(edge.delta, 4)} nats" in said


def test_a_node_says_its_stored_bias(open_app, stored):
    biases = [bias for matrix in stored.edge_matrices for bias in matrix.biases]
    bias = max(biases, key=lambda one: abs(one.weight))
    said = texts(open_app(**QUERY, **STORED, nodes=[str(bias.target)]))
    assert f"Bias {signed(bias.weight)}, stored {signed(bias.delta, 4)} nats" in said


def test_without_the_model_the_stored_numbers_can_be_taken_away(open_app, without_model):
    app = open_app("circuit")
    labels = [button.label for button in app.get("download_button")]
    assert labels == ["JSON", "Nodes, CSV", "Edges, CSV", "GraphML"]
