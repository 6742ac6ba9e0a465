"""On what a node fires, counted by hand; held-out text measured, kept, and read again."""

import threading

import pytest
import torch

from circuit_sparsity.core.names import Node
from circuit_sparsity.experiment.experiment import Cancelled, Experiment
from circuit_sparsity.experiment.opening import open_model, open_tokenizer
from circuit_sparsity.nodes.card import card
from circuit_sparsity.nodes.firing import Firing, TokenMean
from circuit_sparsity.nodes.heldout import HeldOut, Text, held_out_text, measure_on
from circuit_sparsity.plots.card import costs, fires_on, reads_from, writes_to
from circuit_sparsity.store import Store
from tests.handmade import LN2, MARGIN_OF_4, sign_model

NEURON = Node.parse("0.mlp.post_act:0")
TEXT = Text(torch.tensor([[1, 2, 3, 1], [2, 2, 1, 3]]), "eight tokens by hand")


@pytest.fixture
def firing():
    return Firing(torch.tensor([[7, 7, 9], [9, 7, 0]]), torch.tensor([[1.0, 3, 0], [0, 2, 5]]))


def test_tokens_are_ranked_by_how_far_their_mean_is_from_the_nodes_mean(firing):
    assert firing.mean == pytest.approx(11 / 6)
    assert firing.by_token(seen=2) == (TokenMean(9, 0.0, 2), TokenMean(7, 2.0, 3))
    assert firing.by_token(seen=1)[0] == TokenMean(0, 5.0, 1)
    assert firing.by_token(seen=4) == ()


def test_padding_counts_for_nothing(firing):
    real = torch.tensor([[True, True, True], [True, True, False]])
    padded = Firing(firing.tokens, firing.activations, real)
    assert padded.mean == pytest.approx(6 / 5)
    assert padded.counts.zeros == 2
    assert padded.counts.total == 5


def test_every_activation_is_either_counted_or_exactly_zero(firing):
    counts = firing.counts
    assert counts.zeros == 2
    assert sum(counts.counts) == 4
    assert (counts.edges[0], counts.edges[-1]) == (1.0, 5.0)
    assert counts.share_of_zeros == pytest.approx(1 / 3)


def test_a_node_that_is_always_zero_has_no_bars():
    still = Firing(torch.tensor([[1, 2]]), torch.zeros(1, 2))
    assert still.counts.counts == ()
    assert still.counts.share_of_zeros == 1.0


def test_the_highest_and_lowest_tokens_stand_first_at_the_smallest_quantile(firing):
    ends = firing.extremes([0.001, 0.5], docs=1)
    (top,), (bottom,) = ends[0.001].top, ends[0.001].bottom
    assert (int(top.tokens[top.position]), float(top.activations[top.position])) == (0, 5.0)
    assert float(bottom.activations[bottom.position]) == 0.0
    (middle,) = ends[0.5].bottom  # rank 3 of 0 0 1 2 3 5
    assert float(middle.activations[middle.position]) == 2.0


def test_the_sign_neuron_fires_on_its_token_alone():
    found = measure_on(sign_model().model, [NEURON], TEXT)[NEURON]
    assert found.float() == pytest.approx((TEXT.windows == 1).float(), abs=1e-3)


def test_what_was_measured_is_read_again_with_its_text(tmp_path):
    kept = HeldOut(Store(tmp_path / "shipped", tmp_path / "own", "file:///nowhere"), "handmade")
    assert kept.read(NEURON) is None
    found = measure_on(sign_model().model, [NEURON], TEXT)
    path = kept.write(TEXT, found)
    firing, title = kept.read(NEURON) or pytest.fail("nothing was kept")
    assert title == TEXT.title
    assert torch.equal(firing.tokens.long(), TEXT.windows)
    assert torch.equal(firing.activations, found[NEURON])
    assert kept.read(Node.parse("0.mlp.post_act:1")) is None
    path.write_bytes(b"cut")
    with pytest.raises(ValueError, match="damaged"):
        kept.read(NEURON)


def test_measuring_tells_how_far_it_is_and_can_be_stopped():
    text = Text(TEXT.windows.repeat(8, 1), "more")
    told, cancel = [], threading.Event()

    def progress(done, of):
        told.append((done, of))
        cancel.set()

    with pytest.raises(Cancelled, match="8 of 16"):
        measure_on(sign_model().model, [NEURON], text, progress, cancel)
    assert told == [(8, 16)]


def test_held_out_text_is_the_same_each_time_and_half_of_each_kind():
    store = Store.from_environment()
    model, tokenizer = open_model(store, "starter"), open_tokenizer(store, "starter")
    text = held_out_text(model, tokenizer, windows=4)
    assert text.windows.shape == (4, 128)
    assert "256 tokens of Python" in text.title
    assert held_out_text(model, tokenizer, windows=4).key == text.key


def test_the_card_says_what_was_measured():
    made = sign_model()
    opened = Experiment(made.circuit, made.model, made.means, made.batch, "four prompts")
    tokens = torch.tensor([[1, 2] * 5])
    firing = Firing(tokens, (tokens == 1).float())
    said = card(opened, NEURON, firing, "ten tokens")
    assert said.cost.before.loss == pytest.approx(MARGIN_OF_4, abs=1e-5)
    assert said.cost.after.loss == pytest.approx(LN2, abs=1e-5)
    words = fires_on(said, lambda token: bytes([96 + token]))
    assert "“a” +1.000 (5×)" in words
    assert "zero on 50.0% of ten tokens" in words
    assert reads_from(said).startswith("0.mlp.act_in:0 +0.707 (1 of the 1 ")
    assert writes_to(said).startswith("0.mlp.resid_delta:1 +6.000 (1 of the 1 ")
    assert costs(said, (1, 4)).startswith("Ablated alone: +0.6750 nats a sequence")
    assert "Number 1 of 4" in costs(said, (1, 4))


def test_the_card_of_a_node_outside_the_circuit_says_what_adding_it_does():
    made = sign_model()
    opened = Experiment(made.circuit, made.model, made.means, made.batch, "four prompts")
    other = Node.parse("0.mlp.post_act:1")
    said = card(opened, other, Firing(torch.tensor([[1]]), torch.zeros(1, 1)), "a token")
    assert fires_on(said, lambda token: b"x").startswith("Nothing: it is exactly zero")
    assert "does not keep it" in costs(said)
    assert said.cost.delta == pytest.approx(0.0, abs=1e-6)
