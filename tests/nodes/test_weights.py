"""What a node reads and writes in the whole model, worked out on paper."""

import math

import pytest

from circuit_sparsity.circuits.edges import edges
from circuit_sparsity.circuits.wiring import wiring
from circuit_sparsity.core.names import Node
from circuit_sparsity.nodes.vocabulary import direct_effect
from circuit_sparsity.nodes.weights import into, out_of, require_node, written
from tests.handmade import blank, marked_model, put, sign_model

HALF = math.sqrt(0.5)


def seen(neighbours):
    return [(str(near.node), near.by, near.weight) for near in neighbours]


def test_a_neuron_reads_and_writes_its_row_and_its_column():
    model = sign_model().model
    neuron = Node.parse("0.mlp.post_act:0")
    assert seen(into(model, neuron)) == [("0.mlp.act_in:0", "weight", pytest.approx(HALF))]
    assert seen(out_of(model, neuron)) == [("0.mlp.resid_delta:1", "weight", 6.0)]


def test_the_strongest_weight_comes_first_whatever_its_sign():
    model = sign_model().model
    assert seen(into(model, Node.parse("0.mlp.resid_delta:0"))) == [
        ("0.mlp.post_act:1", "weight", 1.0),
        ("0.mlp.post_act:2", "weight", 0.5),
    ]
    both = seen(out_of(model, Node.parse("0.mlp.act_in:0")))
    assert sorted(weight for *_, weight in both) == pytest.approx([-HALF, HALF])


def test_the_residual_stream_joins_a_write_to_every_later_read_of_its_channel():
    model = blank(n_layer=2)
    assert [name for name, *_ in seen(out_of(model, Node.parse("0.mlp.resid_delta:1")))] == [
        "1.attn.act_in:1",
        "1.mlp.act_in:1",
        "final_resid:1",
    ]
    assert [name for name, *_ in seen(into(model, Node.parse("1.attn.act_in:1")))] == [
        "0.attn.resid_delta:1",
        "0.mlp.resid_delta:1",
    ]
    assert into(model, Node.parse("0.attn.act_in:0")) == ()


def test_nobody_writes_a_position_channel():
    model = blank(n_layer=2, d_pos_emb=2)
    assert into(model, Node.parse("1.attn.act_in:3")) == ()


def test_kept_neighbours_are_those_of_the_circuits_wiring():
    for made in (sign_model(), marked_model()):
        wired = wiring(made.circuit, made.model)
        for node in made.circuit.node_list:
            for every, kept in (
                (into(made.model, node), wired.into(node)),
                (out_of(made.model, node), wired.out_of(node)),
            ):
                assert {near for near in every if made.circuit.keeps(near.node)} == set(kept)
        assert edges(made.circuit, made.model) == wired.edges


def test_a_neuron_adds_to_the_logits_what_it_writes_times_the_unembedding():
    model = sign_model().model
    found = direct_effect(model, Node.parse("0.mlp.post_act:0"))
    assert found is not None
    expected = [0, 0, 0, 0, 6 * math.sqrt(2), -6 * math.sqrt(2), 0, 0]
    assert found.tolist() == pytest.approx(expected)


def test_the_last_norms_gain_scales_the_effect():
    model = sign_model().model
    put(model, "transformer.ln_f.weight", (1, 3.0))
    found = direct_effect(model, Node.parse("final_resid:1"))
    assert found is not None
    assert found[4] == pytest.approx(3 * math.sqrt(2))


def test_layer_norm_takes_the_mean_away_first():
    model = blank(rms_norm=False)
    put(model, "lm_head.weight", (4, 0, 1.0), (5, 1, 1.0))
    found = direct_effect(model, Node.parse("final_resid:1"))
    assert found is not None
    assert found[4:6].tolist() == [-0.5, 0.5]


@pytest.mark.parametrize("name", ["0.mlp.act_in:0", "0.attn.q:0", "0.attn.k:0"])
def test_a_node_that_writes_nothing_itself_has_no_direct_effect(name):
    model = marked_model().model
    assert written(model, Node.parse(name)) is None
    assert direct_effect(model, Node.parse(name)) is None


@pytest.mark.parametrize(
    ("name", "words"), [("7.attn.q:0", "1 layers"), ("0.mlp.post_act:3", "channels 0 to 2")]
)
def test_what_is_no_node_of_the_model_is_said(name, words):
    with pytest.raises(ValueError, match=words):
        require_node(sign_model().model, Node.parse(name))
