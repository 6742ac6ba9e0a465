"""Labels of nodes: kept whole, one line, apart from downloads, never lost to a neighbour."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from circuit_sparsity.core.names import Node
from circuit_sparsity.experiment.labels import LONGEST, Labels, read_labels, set_label, write_labels
from circuit_sparsity.store import StoreError
from tests.handmade import sign_model

NEURON = Node.parse("0.mlp.post_act:0")
HOSTILE = '<img src=x onerror="alert(1)"> **bold** $x$ {{x}} `rm`'


def test_a_circuit_has_no_labels_until_somebody_gives_one(store, circuit):
    assert read_labels(store, circuit) == Labels()
    set_label(store, circuit, NEURON, "sign of the last token")
    assert read_labels(store, circuit).of(NEURON) == "sign of the last token"
    assert read_labels(store, replace(circuit, k="other")) == Labels()


def test_an_empty_text_takes_the_label_away(store, circuit):
    set_label(store, circuit, NEURON, "sign")
    assert set_label(store, circuit, NEURON, "  ").texts == {}
    assert read_labels(store, circuit).texts == {}


def test_any_text_comes_back_as_it_was(store, circuit):
    write_labels(Labels({NEURON: HOSTILE}), store, circuit)
    assert read_labels(store, circuit).of(NEURON) == HOSTILE


def test_labels_outlast_clearing_everything_that_was_made_or_downloaded(store, circuit):
    set_label(store, circuit, NEURON, "sign")
    store.clear(own_results=True)
    assert read_labels(store, circuit).of(NEURON) == "sign"


def test_labels_given_at_the_same_time_are_all_kept(store, circuit):
    nodes = [Node.parse(f"0.mlp.post_act:{channel}") for channel in range(20)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda node: set_label(store, circuit, node, f"n{node.channel}"), nodes))
    assert read_labels(store, circuit).texts == {node: f"n{node.channel}" for node in nodes}


def test_a_label_for_a_node_that_the_model_does_not_have_is_refused(store, circuit):
    config = sign_model().model.config
    width = config.width(NEURON.location)
    assert set_label(store, circuit, NEURON, "sign", config).of(NEURON) == "sign"
    for name in (f"0.mlp.post_act:{width}", f"{config.n_layer}.mlp.post_act:0"):
        with pytest.raises(ValueError, match=f"there is no node {name} in a model of"):
            set_label(store, circuit, Node.parse(name), "x", config)


def test_too_long_a_label_is_refused_with_its_length(store, circuit):
    with pytest.raises(ValueError, match=f"{LONGEST + 1} letters; at most {LONGEST}"):
        set_label(store, circuit, NEURON, "x" * (LONGEST + 1))


def test_a_name_that_leads_out_of_the_folder_is_refused(store, circuit):
    with pytest.raises(StoreError):
        set_label(store, replace(circuit, task="../../.."), NEURON, "x")


@pytest.mark.parametrize("content", ["[", "[]", '{"nowhere": "x"}', json.dumps({str(NEURON): 1})])
def test_a_damaged_file_is_named(store, circuit, content):
    path = write_labels(Labels({NEURON: "sign"}), store, circuit)
    path.write_text(content)
    with pytest.raises(ValueError, match="labels.json cannot be read"):
        read_labels(store, circuit)
