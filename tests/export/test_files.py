"""JSON, CSV and GraphML, opened by readers that know nothing of this project."""

import csv
import io
import json
import xml.etree.ElementTree as etree

import networkx
import pandas as pd
import pytest

from circuit_sparsity.evidence.evidence import read_evidence
from circuit_sparsity.experiment.opening import open_circuit, open_stored, open_tokenizer
from circuit_sparsity.export.document import as_json, document, stored_document
from circuit_sparsity.export.investigation import Investigation, rises_of
from circuit_sparsity.export.tables import edges_csv, graphml, nodes_csv
from circuit_sparsity.store import Store

NAMES = ("starter", "single_double_quote", "full", "k24_seed0_full")
HOSTILE = '=1+1"</script>\x00\u202e\n,'
RECIPE = {"steps": [{"part": "0.attn.k:208", "how": "zero"}]}


@pytest.fixture(scope="module")
def opened():
    return open_circuit(*NAMES)


@pytest.fixture(scope="module")
def found(opened):
    node = str(opened.circuit.node_list[0])
    store = Store.from_environment()
    return Investigation(
        opened,
        open_tokenizer(store, "starter"),
        rises_of(opened),
        opened.batch_name,
        opened.ablate([node], "zero"),
        {node: "held at zero"},
        RECIPE,
        {node: HOSTILE},
        read_evidence(store, opened.circuit),
        "http://127.0.0.1/?k=1",
    )


def test_the_json_holds_what_was_measured_and_what_the_user_added(found, opened):
    told = json.loads(as_json(document(found)))
    assert told["losses"]["circuit"]["loss"] == pytest.approx(opened.of_circuit.loss)
    assert told["losses"]["model"]["p_right"] == pytest.approx(opened.of_model.p_right)
    assert told["labels"] == {str(opened.circuit.node_list[0]): HOSTILE}
    assert told["recipe"] == RECIPE
    assert told["evidence"]["necessity"] == pytest.approx(0.929, abs=1e-3)
    assert [answer["text"] for answer in told["answers"]] == ['")\n', "')\n"]
    ablation = told["ablation"]
    assert ablation["parts"] == [{"part": str(opened.circuit.node_list[0]), "held": "held at zero"}]
    assert ablation["after"]["loss"] - ablation["before"]["loss"] == pytest.approx(ablation["rise"])
    assert [row["node"] for row in told["nodes"]] == list(map(str, opened.circuit.node_list))
    assert len(told["edges"]) == told["circuit"]["edges"] == 22


def test_each_part_costs_what_ablating_it_alone_costs(found, opened):
    told = json.loads(as_json(document(found)))
    for row in (*told["nodes"][::7], *told["edges"][::7]):
        name = row.get("node") or f"{row['source']}>{row['target']}"
        assert row["rise"] == pytest.approx(opened.ablate([name]).delta, abs=1e-6)


def test_nothing_switched_off_is_no_ablation(opened):
    told = json.loads(as_json(document(Investigation(opened))))
    assert told["ablation"] is told["evidence"] is told["recipe"] is None
    assert {row["rise"] for row in told["nodes"]} == {None}


def test_the_tables_open_as_data_frames(found, opened):
    nodes = pd.read_csv(io.StringIO(nodes_csv(document(found))))
    edges = pd.read_csv(io.StringIO(edges_csv(document(found))))
    assert nodes["node"].tolist() == list(map(str, opened.circuit.node_list))
    assert edges["weight"].tolist() == pytest.approx([edge.weight for edge in opened.edges])
    assert nodes["off"].tolist() == [True] + [False] * 23


def test_no_cell_is_a_formula(found):
    cells = [
        cell
        for row in csv.DictReader(io.StringIO(nodes_csv(document(found))))
        for cell in row.values()
    ]
    texts = [cell for cell in cells if cell and not _is_number(cell)]
    assert not any(text.startswith(("=", "+", "-", "@")) for text in texts)
    assert f"'{HOSTILE}" in texts


def test_a_circuit_without_edges_has_a_head_and_no_lines(opened):
    kept = opened.circuit.node_list[:1]
    alone = opened.circuit.without(node for node in opened.circuit.node_list if node not in kept)
    few = type(opened)(alone, opened.model, opened.means, opened.batch)
    assert edges_csv(document(Investigation(few))) == "source,target,weight,rise,off,label\n"


def test_the_graph_opens_in_networkx_with_weights_and_links(found, opened):
    text = graphml(document(found))
    graph = networkx.parse_graphml(text)
    assert set(graph) == set(map(str, opened.circuit.node_list))
    joined = {(a, b): of for a, b, of in graph.edges(data=True)}
    weights = {ends: of["weight"] for ends, of in joined.items() if of["by"] == "weight"}
    expected = {(str(edge.source), str(edge.target)): edge.weight for edge in opened.edges}
    assert weights == pytest.approx(expected)
    assert {of["by"] for of in joined.values()} == {"weight", "residual stream", "attention"}
    label = graph.nodes[str(opened.circuit.node_list[0])]["label"]
    assert label == HOSTILE.replace("\x00", "\N{REPLACEMENT CHARACTER}")
    etree.fromstring(text.encode())  # an XML reader that is stricter than networkx


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def test_a_file_alone_is_told_with_its_stored_numbers(opened):
    store = Store.from_environment()
    stored, joined = open_stored(store, *NAMES), Investigation(opened).wiring
    node, edge = opened.circuit.node_list[0], stored.edges[0]
    told = json.loads(as_json(stored_document(stored, joined, {str(node): HOSTILE}, "a link")))
    (row,) = (row for row in told["nodes"] if row["node"] == str(node))
    assert row["rise"] == pytest.approx(stored.node_losses[node] - stored.circuit_loss)
    assert row["label"] == HOSTILE
    assert told["edges"][0]["weight"] == edge.weight
    assert told["circuit"]["model_nodes"] == stored.total_nodes
    graph = networkx.parse_graphml(graphml(stored_document(stored, joined, {})))
    assert set(graph) == set(map(str, opened.circuit.node_list))
    table = pd.read_csv(io.StringIO(edges_csv(stored_document(stored, joined, {}))))
    assert table["rise"].tolist() == pytest.approx([one.delta for one in stored.edges])
