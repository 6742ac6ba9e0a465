"""What two circuits share, counted by hand and checked as a property."""

import pytest

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.circuits.comparison import MEMBERSHIPS, Comparison, ends
from circuit_sparsity.circuits.wiring import wiring
from tests.handmade import circuit_of, sign_model
from tests.runtime.random_circuits import random_circuit, random_model


def test_shared_and_own_nodes_and_edges_of_a_hand_made_pair():
    model = sign_model().model
    a = circuit_of(model.config, ("0.mlp.act_in:0", "0.mlp.post_act:0", "0.mlp.resid_delta:1"))
    b = circuit_of(model.config, ("0.mlp.act_in:0", "0.mlp.post_act:0", "0.mlp.post_act:2"))
    found = Comparison(wiring(a, model), wiring(b, model))
    assert list(map(str, found.nodes("both"))) == ["0.mlp.act_in:0", "0.mlp.post_act:0"]
    assert list(map(str, found.nodes("only A"))) == ["0.mlp.resid_delta:1"]
    assert list(map(str, found.nodes("only B"))) == ["0.mlp.post_act:2"]
    assert [str(e) for e in found.edges("both")] == ["0.mlp.act_in:0>0.mlp.post_act:0"]
    assert [str(e) for e in found.edges("only A")] == ["0.mlp.post_act:0>0.mlp.resid_delta:1"]
    assert [str(e) for e in found.edges("only B")] == ["0.mlp.act_in:0>0.mlp.post_act:2"]
    assert found.node_overlap == 2 / 4
    assert found.edge_overlap == 1 / 3


@pytest.mark.parametrize("seed", range(3))
def test_a_and_b_change_places_when_they_are_swapped(seed):
    model = random_model(seed)
    a, b = (wiring(random_circuit(model, 0.3, seed + i), model) for i in (0, 1))
    one, other = Comparison(a, b), Comparison(b, a)
    assert one.nodes("only A") == other.nodes("only B")
    assert set(map(ends, one.edges("both"))) == set(map(ends, other.edges("both")))
    assert sum(len(one.nodes(side)) for side in MEMBERSHIPS) == len({*a.nodes, *b.nodes})
    assert one.node_overlap == other.node_overlap


def test_a_circuit_overlaps_itself_wholly_and_an_empty_one_too():
    model = random_model()
    wired = wiring(random_circuit(model, 0.3), model)
    assert Comparison(wired, wired).node_overlap == Comparison(wired, wired).edge_overlap == 1
    empty = wiring(Circuit({}, "m", "t", "s", "0"), model)
    assert Comparison(empty, empty).node_overlap == 1
    assert Comparison(empty, wired).node_overlap == 0
