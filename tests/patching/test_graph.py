"""The attribution graph: drawn on paper, closed sums, and its file in the field's JSON."""

import json
from dataclasses import replace

import pytest
import torch

from circuit_sparsity.core.names import Node
from circuit_sparsity.experiment.experiment import Experiment
from circuit_sparsity.experiment.opening import open_circuit
from circuit_sparsity.export.attribution_graph import (
    GraphDocument,
    Groups,
    graph_document,
    read_groups,
)
from circuit_sparsity.patching.graph import RULES, attribution_graph
from tests.handmade import marked_model, sign_model
from tests.runtime.random_circuits import random_circuit, random_means, random_model, random_prompts


@pytest.fixture(scope="module")
def circuit():
    opened = open_circuit("starter", "single_double_quote", "prune", "k44_seed0")
    return replace(opened, batch=opened.batch.select(range(4)))


@pytest.fixture(scope="module")
def document(circuit):
    graph = attribution_graph(circuit, 1)
    labels = {Node.parse("final_resid:175"): "which quote"}
    return GraphDocument(graph, circuit.circuit, circuit.model.config, circuit.tokenizer, labels)


def experiment_of(made):
    return Experiment(made.circuit, made.model, made.means, made.batch)


def test_the_graph_of_one_neuron_is_the_one_on_paper():
    """Token 1: the read is sqrt(2) of an embedding of 1; the neuron is gelu-free relu(1) = 1.

    Its mean is 0.5, so it deviates by 0.5 and the read by sqrt(2). The secant from the read at its
    mean 0 (neuron 0) to sqrt(2) (neuron 1) has slope 1 over the input's change of 1: the link is 1,
    the rest is 0 - 0.5. The write is 6·1 - 3 = 3 over its mean 0: 6·0.5 = 3 by the link, rest 0.
    The end reads 3, and the answer sqrt(2)·sqrt(2)·2 = 4 nats from it.
    """
    graph = attribution_graph(experiment_of(sign_model()), 0)
    read, neuron, write, end = (graph.vertex(node, 0) for node in graph.parts)
    weights = {
        (int(s), int(t)): float(w)
        for s, t, w in zip(graph.source, graph.target, graph.weight, strict=True)
    }
    embedding = len(graph.parts)
    assert weights == {
        (embedding, read): pytest.approx(2**0.5, abs=1e-4),
        (read, neuron): pytest.approx(1.0, abs=1e-4),
        (neuron, write): pytest.approx(3.0, abs=1e-4),
        (write, end): pytest.approx(3.0, abs=1e-4),
        (end, graph.answer): pytest.approx(4.0, abs=1e-4),
    }
    rests = {vertex: float(graph.rest[vertex]) for vertex in (read, neuron, write, end)}
    assert rests == pytest.approx({read: 0.0, neuron: -0.5, write: 0.0, end: 0.0}, abs=1e-4)
    influence = graph.influence()
    assert float(influence[write]) == pytest.approx(1.0, abs=1e-4)
    assert float(influence[read]) == pytest.approx(2 / 3, abs=1e-4)  # the rest has the third


def test_a_head_carries_the_marked_tokens_sign_by_its_pattern():
    """The marked token's value 1 is written three times as large; the key moves the pattern."""
    graph = attribution_graph(experiment_of(marked_model()), 0)
    value = Node.parse("0.attn.v:0")
    write = graph.vertex(Node.parse("0.attn.resid_delta:1"), 2)
    pattern = [
        (int(s), float(w))
        for s, t, w, r in zip(graph.source, graph.target, graph.weight, graph.rule, strict=True)
        if int(t) == write and RULES[int(r)] == "pattern"
    ]
    strongest = max(pattern, key=lambda link: abs(link[1]))
    assert strongest == (graph.vertex(value, 0), pytest.approx(3.0, abs=0.01))
    assert float(graph.rest[write]) == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize("options", [{}, {"sink": True}, {"rms_norm": False}])
def test_where_a_place_is_linear_the_rest_is_what_its_means_make(options):
    """Without a top-k, queries, keys, values and MLP writes: one constant at every token."""
    model = random_model(2, **options)
    means, batch = random_means(model), random_prompts(model, n=4)
    experiment = Experiment(random_circuit(model, 0.6, seed=2), model, means, batch)
    prompt = int(batch.last.argmax())
    graph = attribution_graph(experiment, prompt)
    length = len(graph.tokens)
    assert length > 2
    closed = graph.entering() + graph.rest
    inner = torch.arange(graph.answer + 1) // length != len(graph.parts)
    assert torch.allclose(closed[inner], graph.deviation[inner], atol=1e-4)
    for i, node in enumerate(graph.parts):
        kind, block = node.location.kind, node.location.block
        if kind in ("q", "k", "v") or (block == "mlp" and kind == "resid_delta"):
            rests = graph.rest[i * length : (i + 1) * length]
            assert float(rests.max() - rests.min()) < 1e-3, node


def test_query_key_links_are_the_slope_of_the_write_by_a_query(circuit):
    """Against a run in which the query is moved a little, on a random model with a sink."""
    model = random_model(4, sink=True)
    means, batch = random_means(model), random_prompts(model, n=4)
    experiment = Experiment(random_circuit(model, 0.8, seed=1), model, means, batch)
    prompt = int(batch.last.argmax())
    graph = attribution_graph(experiment, prompt)
    rule = RULES.index("query-key")
    length, last = len(graph.tokens), len(graph.tokens) - 1
    chosen = [
        (int(s), int(t), float(w))
        for s, t, w, r in zip(graph.source, graph.target, graph.weight, graph.rule, strict=True)
        if r == rule and graph.parts[int(s) // length].location.kind == "q" and abs(w) > 1e-3
    ]
    from circuit_sparsity.core.hooks import Recorder, chain
    from circuit_sparsity.runtime.ablation import mean_fill

    fill = mean_fill(experiment.alive, means)
    step = 1e-3
    for source, target, weight in chosen[:: max(1, len(chosen) // 5)]:
        query, write = graph.parts[source // length], graph.parts[target // length]
        values = []
        for sign in (1, -1):
            recorder = Recorder()

            def move(name, x, query=query, sign=sign, at=source % length):
                if name == str(query.location):
                    x = x.clone()
                    x[0, at, query.channel] += sign * step
                return x

            tokens = batch.tokens[prompt : prompt + 1, :length]
            model.residual(tokens, chain(fill, move, recorder))
            written = recorder.tensors[str(write.location)]
            values.append(float(written[0, target % length, write.channel]))
        slope = (values[0] - values[1]) / (2 * step)
        wanted = slope * float(graph.deviation[source])
        assert weight == pytest.approx(wanted, rel=0.05, abs=5e-3)
    assert chosen
    assert last


def test_what_enters_the_answer_is_its_log_odds(circuit):
    for prompt in range(4):
        graph = attribution_graph(circuit, prompt)
        closed = (graph.entering() + graph.rest)[graph.answer]
        assert float(closed) == pytest.approx(graph.log_odds, abs=1e-4)
        assert float(graph.influence().max()) == 1.0


def test_the_file_keeps_the_fields_rules(document):
    told = json.loads(json.dumps(graph_document(document, 0.9)))
    assert set(told) == {"metadata", "qParams", "nodes", "links"}
    assert {"slug", "scan", "prompt", "prompt_tokens"} <= set(told["metadata"])
    ids = [node["node_id"] for node in told["nodes"]]
    assert len(set(ids)) == len(ids)
    kinds = {"cross layer transcoder", "mlp reconstruction error", "embedding", "logit"}
    for node in told["nodes"]:
        layer, feature, position = node["node_id"].split("_")
        assert (layer, int(position)) == (node["layer"], node["ctx_idx"])
        assert isinstance(node["feature"], int)
        assert int(feature) == node["feature"]
        assert node["feature_type"] in kinds
        assert {"jsNodeId", "clerp", "influence", "activation"} <= set(node)
    for link in told["links"]:
        assert link["source"] in ids
        assert link["target"] in ids
        assert isinstance(link["weight"], float)
    assert any("which quote" in node["clerp"] for node in told["nodes"])
    assert len(told["metadata"]["prompt_tokens"]) == len(document.graph.tokens)


def test_in_the_whole_file_what_enters_a_node_is_its_deviation(document):
    told, graph = graph_document(document), document.graph
    entering = {}
    for link in told["links"]:
        entering[link["target"]] = entering.get(link["target"], 0.0) + link["weight"]
    for node in told["nodes"]:
        if node["feature_type"] == "cross layer transcoder":
            found = entering.get(node["node_id"], 0.0)
            assert found == pytest.approx(node["activation"], abs=1e-3)
    assert entering[document.name(graph.answer)] == pytest.approx(graph.log_odds, abs=1e-3)


def test_pins_and_groups_survive_the_file_and_another_graphs_is_refused(document, circuit):
    graph = document.graph
    groups = Groups((3, graph.answer), (("the quote", (5, 6)), ("copies", (70,))))
    told = json.loads(json.dumps(graph_document(document, 0.5, groups)))
    assert read_groups(document, told) == groups
    other = replace(document, graph=attribution_graph(circuit, 0))
    with pytest.raises(ValueError, match="expected 'starter-single-double-quote"):
        read_groups(other, told)
    told["qParams"]["pinnedIds"] = ["0_999999_1"]
    with pytest.raises(ValueError, match="not in this graph"):
        read_groups(document, told)
    with pytest.raises(ValueError, match="expected 0 to 1"):
        graph.pruned(1.5)


def test_vertices_have_names(document):
    graph = document.graph
    assert " at 2 " in document.words(2)
    assert document.words(len(graph.parts) * len(graph.tokens)).startswith("embedding at 0")
    assert " against " in document.words(graph.answer)
    with pytest.raises(ValueError, match="is not in the graph"):
        graph.vertex(Node.parse("0.attn.q:1"), 0)
