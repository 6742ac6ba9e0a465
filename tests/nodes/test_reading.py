"""A text as model, circuit and ablated circuit read it: losses, partings, nodes, more text."""

import math
import threading

import pytest
import torch

from circuit_sparsity.circuits.recipe import Level
from circuit_sparsity.core.hooks import chain
from circuit_sparsity.core.names import Node
from circuit_sparsity.experiment.experiment import Cancelled, Experiment
from circuit_sparsity.nodes.active import Different, most_active, most_different, usual
from circuit_sparsity.nodes.generation import continued
from circuit_sparsity.nodes.next_token import next_token, next_token_without
from circuit_sparsity.nodes.reading import Reader, Reading, divergences, parting
from circuit_sparsity.runtime.ablation import mean_fill
from tests.handmade import marked_model, sign_model

NEURON = Node.parse("0.mlp.post_act:0")


def readers(made, *ablated, fill="mean"):
    return (
        Reader(made.model),
        Reader(made.model, made.circuit, made.means),
        Reader(made.model, made.circuit, made.means, [(part, Level(fill)) for part in ablated]),
    )


def test_each_position_is_read_as_if_the_text_ended_there():
    made = marked_model()
    edge = Experiment(made.circuit, made.model, made.means, made.batch).edges[0]
    alive = made.circuit.masks(made.model.config)
    text = [1, 3, 2, 4, 5]
    for fill in ("mean", "zero"):
        node = made.circuit.node_list[3]
        model, circuit, without = readers(made, node, edge, fill=fill)
        for end in range(1, len(text) + 1):
            part = text[:end]
            expected = (
                next_token(made.model, part),
                next_token(made.model, part, alive, made.means),
                next_token_without(made.circuit, made.model, made.means, part, (node, edge), fill),
            )
            for reader, one in zip((model, circuit, without), expected, strict=True):
                assert reader.read(text).logits[end - 1] == pytest.approx(one.logits, abs=1e-5)
                assert reader.next(part) == pytest.approx(one.logits, abs=1e-5)


def test_a_node_that_is_scaled_or_set_is_so_at_every_position():
    """The twin: a hook that multiplies or overwrites the one channel after the fill."""
    made = marked_model()
    node, text = made.circuit.node_list[3], [1, 3, 2, 4]
    fill = mean_fill(made.circuit.masks(made.model.config), made.means)
    levels = ((Level("scale", -2.0), lambda x: -2 * x), (Level("set", 0.5), lambda x: 0.5))
    for level, new in levels:  # a norm takes away how large a scaled channel is, not its sign

        def change(name, x, new=new):
            if name == str(node.location):
                x = x.clone()
                x[..., node.channel] = new(x[..., node.channel])
            return x

        expected, _, _ = made.model(torch.tensor([text]), hook=chain(fill, change))
        reader = Reader(made.model, made.circuit, made.means, [(node, level)])
        assert reader.read(text).logits == pytest.approx(expected[0].detach(), abs=1e-5)
        plain = Reader(made.model, made.circuit, made.means).read(text).logits
        assert not torch.allclose(reader.read(text).logits, plain, atol=1e-4)


def test_losses_are_those_of_the_tokens_that_came():
    made = sign_model()
    reading = Reader(made.model).read([1, 4, 2])
    chances = reading.logits.exp() / reading.logits.exp().sum(-1, keepdim=True)
    expected = [-math.log(chances[0, 4]), -math.log(chances[1, 2])]
    assert reading.losses.tolist() == pytest.approx(expected, abs=1e-5)


def test_without_its_neuron_the_circuit_parts_where_the_sign_decides():
    made = sign_model()
    _, circuit, without = readers(made, NEURON)
    one, other = circuit.read([3, 1]), without.read([3, 1])
    p, q = one.logits.softmax(-1), other.logits.softmax(-1)
    by_hand = (p * (p / q).log()).sum(-1)
    found = parting(one, other)
    assert divergences(one, other).tolist() == pytest.approx(by_hand.tolist(), abs=1e-5)
    assert found.divergence == pytest.approx(float(by_hand.max()), abs=1e-5)
    assert found.widest == int(by_hand.argmax())
    assert found.mean == pytest.approx(float(by_hand.mean()), abs=1e-5)
    assert found.first == 0  # after token 3 the neuron is 0 and writes -3; at its mean nothing


def test_a_reading_does_not_part_from_itself():
    reading = Reader(sign_model().model).read([3, 1, 2])
    found = parting(reading, reading)
    assert found.first is None
    assert found.divergence == pytest.approx(0.0, abs=1e-6)


def test_readings_of_different_texts_are_not_compared():
    reader = Reader(sign_model().model)
    with pytest.raises(ValueError, match="different texts"):
        parting(reader.read([1]), reader.read([2]))


def test_an_empty_text_and_one_beyond_the_context_are_errors():
    reader = Reader(sign_model().model)
    with pytest.raises(ValueError, match="empty"):
        reader.read([])
    with pytest.raises(ValueError, match="9 tokens; the model's context is 8"):
        reader.read([1] * 9)


def test_a_node_is_measured_against_its_own_mean_and_scale():
    made = sign_model()
    opened = Experiment(made.circuit, made.model, made.means, made.batch)
    # On the prompts' tokens the neuron is 1 or 0, always 0.5 from its mean of 0.5.
    known = usual(opened, made.circuit.node_list)
    assert known.means[NEURON] == 0.5
    assert known.scales[NEURON] == pytest.approx(0.5, abs=1e-5)
    reading = Reader(made.model).read([3, 1], made.circuit.node_list)
    (found,) = (one for one in most_active(reading, 1, known) if one.node == NEURON)
    assert found.activation == pytest.approx(1.0, abs=1e-5)
    assert found.score == pytest.approx(1.0, abs=1e-4)
    scores = [abs(one.score) for one in most_active(reading, 1, known)]
    assert scores == sorted(scores, reverse=True)


def test_a_node_that_never_moves_on_the_prompts_has_a_score_of_one_where_it_does():
    made = sign_model()
    opened = Experiment(made.circuit, made.model, made.means, made.batch)
    still = Node.parse("0.attn.v:0")
    known = usual(opened, [still])
    assert known.scales[still] == 0.0
    read = Reader(made.model).read([1])
    low, high = (
        Reading(read.tokens, read.logits, {still: torch.tensor([value])}) for value in (-7.0, 2.0)
    )
    assert most_active(low, 0, known)[0].score == -1.0
    assert most_different((high, 0), (low, 0), known) == (Different(still, 2.0, -7.0, 1.0),)


def test_nodes_that_differ_on_two_tokens_are_ranked_by_their_own_scale():
    made = sign_model()
    opened = Experiment(made.circuit, made.model, made.means, made.batch)
    known = usual(opened, [NEURON])
    reader = Reader(made.model, made.circuit, made.means)
    one, other = reader.read([1], [NEURON]), reader.read([2], [NEURON])
    (found,) = most_different((one, 0), (other, 0), known)
    assert (found.one, found.other) == (pytest.approx(1.0, abs=1e-5), 0.0)
    assert found.score == pytest.approx(2.0, abs=1e-4)  # (1 - 0) / 0.5


def test_each_token_that_follows_is_the_likeliest():
    made = sign_model()
    for reader in readers(made, NEURON):
        text, heard = [3, 1], []
        found = continued(reader, text, 3, heard.append)
        for token, probability in zip(found.tokens, found.probabilities, strict=True):
            chances = reader.read(text).logits[-1].softmax(-1)
            assert token == int(chances.argmax())
            assert probability == pytest.approx(float(chances.max()), abs=1e-6)
            text = [*text, token]
        assert [len(one.tokens) for one in heard] == [1, 2, 3]


def test_the_text_ends_with_the_context():
    found = continued(Reader(sign_model().model), [3] * 6, 20)
    assert len(found.tokens) == 3  # the last one follows a text of all 8 places


def test_going_on_can_be_stopped():
    cancel = threading.Event()
    with pytest.raises(Cancelled, match="1 of 5"):
        continued(Reader(sign_model().model), [3], 5, lambda _: cancel.set(), cancel)


def test_reading_changes_nothing_in_the_model():
    made = sign_model()
    before = {name: p.clone() for name, p in made.model.named_parameters()}
    for reader in readers(made, NEURON):
        reader.read([1, 2, 3])
    assert all(torch.equal(p, before[name]) for name, p in made.model.named_parameters())
