"""Neighbours of nodes, against a circuit worked out on paper."""

import torch

from circuit_sparsity.circuits.wiring import Neighbour, wiring
from circuit_sparsity.core.names import Node
from tests.handmade import marked_model, put, sign_model


def names(neighbours):
    return [(str(near.node), near.by, near.weight) for near in neighbours]


def test_a_neuron_is_fed_and_feeds_by_its_weights():
    made = sign_model()
    wired = wiring(made.circuit, made.model)
    neuron = Node.parse("0.mlp.post_act:0")
    fed_by = wired.into(neuron)
    assert [(str(near.node), near.by) for near in fed_by] == [("0.mlp.act_in:0", "weight")]
    assert abs(fed_by[0].weight - 0.5**0.5) < 1e-6
    assert names(wired.out_of(neuron)) == [("0.mlp.resid_delta:1", "weight", 6.0)]


def test_a_write_feeds_later_reads_of_its_channel_through_the_residual_stream():
    made = sign_model()
    wired = wiring(made.circuit, made.model)
    write = Node.parse("0.mlp.resid_delta:1")
    assert names(wired.out_of(write)) == [("final_resid:1", "residual stream", None)]
    assert wired.out_of(Node.parse("final_resid:1")) == ()


def test_a_key_feeds_the_values_of_its_head():
    made = marked_model()
    wired = wiring(made.circuit, made.model)
    assert Neighbour(Node.parse("0.attn.v:0"), "attention") in wired.out_of(
        Node.parse("0.attn.k:0")
    )


def test_neighbours_stand_from_the_strongest_weight_down_and_links_come_last():
    made = marked_model()
    put(made.model, "transformer.h.0.attn.c_attn.weight", (2, 2, -3.0))
    wired = wiring(made.circuit, made.model)
    fed_by = wired.into(Node.parse("0.attn.v:0"))
    assert [str(near.node) for near in fed_by] == [
        "0.attn.act_in:2",
        "0.attn.act_in:0",
        "0.attn.k:0",
    ]
    assert fed_by[0].weight == -3.0
    assert fed_by[2].weight is None


def test_every_join_has_two_ends():
    made = marked_model()
    wired = wiring(made.circuit, made.model)
    joins = len(wired.edges) + len(wired.residual) + len(wired.attention)
    assert sum(len(wired.into(node)) for node in wired.nodes) == joins
    assert sum(len(wired.out_of(node)) for node in wired.nodes) == joins


def test_the_model_is_only_read():
    made = marked_model()
    before = [parameter.clone() for parameter in made.model.parameters()]
    wiring(made.circuit, made.model)
    assert all(map(torch.equal, before, made.model.parameters()))
