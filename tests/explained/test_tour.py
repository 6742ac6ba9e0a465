"""What the tour points at: by hand where the model can be read, and of what ships as properties."""

import dataclasses
import math

import pytest
import torch

from circuit_sparsity.experiment.experiment import Experiment
from circuit_sparsity.experiment.opening import open_circuit
from circuit_sparsity.explained.tour import (
    channel_votes,
    costliest,
    finding,
    looks,
    mark_places,
    readings,
    telling,
    writers_of,
    writings,
)
from circuit_sparsity.nodes.head import run_head
from circuit_sparsity.runtime.ablation import mean_fill
from circuit_sparsity.tasks.task import TaskBatch
from circuit_sparsity.ui.shell.pickers import TOUR
from tests.handmade import marked_model


@pytest.fixture
def hand() -> Experiment:
    """Pairs of the hand-made head whose marked token, 1 or 2, comes first."""
    made = marked_model()
    batch = TaskBatch(
        tokens=torch.tensor([[1, 3, 5], [1, 4, 5], [2, 3, 5], [2, 4, 5]]),
        last=torch.full((4,), 2),
        right=torch.tensor([6, 6, 7, 7]),
        wrong=torch.tensor([7, 7, 6, 6]),
    )
    return Experiment(made.circuit, made.model, made.means, batch)


@pytest.fixture(scope="module")
def shipped() -> Experiment:
    opened = open_circuit(*TOUR)
    return dataclasses.replace(opened, batch=opened.batch.select(range(8)))


def names(found):
    return [str(one.node) for one in found]


def test_the_mark_is_the_one_token_in_which_a_pair_differs(hand):
    assert mark_places(hand.batch).tolist() == [0, 0, 0, 0]


def test_pairs_that_differ_in_more_are_refused_and_counted(hand):
    tokens = hand.batch.tokens.clone()
    tokens[3, 1] = 3
    batch = dataclasses.replace(hand.batch, tokens=tokens)
    with pytest.raises(ValueError, match="1 of 2 pairs"):
        mark_places(batch)


def test_the_sign_tells_the_marks_apart_and_the_key_finds_them(hand):
    found = readings(hand)
    by_name = {str(one.node): one for one in found}
    sign, key = by_name["0.attn.act_in:0"], by_name["0.attn.k:0"]
    assert (sign.positive, sign.negative) == pytest.approx((math.sqrt(2), -math.sqrt(2)), abs=1e-4)
    assert (key.positive, key.negative) == pytest.approx((10, 10), abs=1e-3)
    assert key.other_tokens == pytest.approx(-5, abs=1e-3)  # -10 on the other token, 0 on the last
    assert set(names(telling(found))) == {"0.attn.act_in:0", "0.attn.v:0"}
    assert set(names(finding(found))) == {"0.attn.act_in:2", "0.attn.k:0"}


@pytest.mark.parametrize("sink", [False, True])
def test_the_hand_made_head_looks_at_the_mark_alone(hand, sink):
    made = marked_model(sink)
    opened = dataclasses.replace(hand, model=made.model, means=made.means)
    (look,) = looks(opened)
    assert (look.layer, look.head) == (0, 0)
    assert look.share == pytest.approx(1 / (1 + math.exp(-10) + math.exp(-20)), abs=1e-5)
    assert [str(node) for node in look.nodes] == ["0.attn.k:0", "0.attn.v:0"]
    assert (look.sink is not None) == sink


def test_the_last_channel_votes_for_the_answer_with_a_margin_of_four(hand):
    (vote,) = writings(hand)
    assert str(vote.node) == "final_resid:1"
    assert (vote.positive, vote.negative) == pytest.approx((4, -4), abs=1e-2)
    written = writers_of(hand, [vote])
    assert [str(node) for node in written] == ["0.attn.resid_delta:1", "final_resid:1"]


def test_the_votes_of_all_channels_and_the_bigrams_are_the_log_odds(shipped):
    batch, n = shipped.batch, shipped.batch.n_pairs
    logits = shipped.logits(shipped.alive)
    rows = torch.arange(len(batch))
    sign = torch.cat([torch.ones(n), -torch.ones(n)])
    odds = sign * (logits[rows, batch.right] - logits[rows, batch.wrong])
    ends = batch.tokens[rows, batch.last]
    table = shipped.model.bigram_table[ends] + shipped.model.final_logits_bias
    rest = sign * (table[rows, batch.right] - table[rows, batch.wrong])
    torch.testing.assert_close(channel_votes(shipped).sum(1) + rest, odds, atol=1e-3, rtol=0)


def test_a_look_is_what_the_head_does_on_one_prompt_alone(shipped):
    look = looks(shipped)[0]
    hook = mean_fill(shipped.alive, shipped.means)
    row, end = 3, int(shipped.batch.last[3])
    tokens = shipped.batch.tokens[row, : end + 1].tolist()
    head = run_head(shipped.model, tokens, look.layer, look.head, hook)
    torch.testing.assert_close(look.weights[row, : end + 1], head.pattern[end], atol=1e-5, rtol=0)


def test_every_step_of_the_tour_has_something_to_point_at(shipped):
    found = readings(shipped)
    kept = set(shipped.circuit.node_list)
    votes = writings(shipped)
    groups = ([r.node for r in telling(found)], [r.node for r in finding(found)])
    for group in (*groups, looks(shipped)[0].nodes, writers_of(shipped, votes)):
        assert group
        assert set(group) <= kept
    most = votes[0]
    assert abs(most.swing) == max(abs(one.swing) for one in votes)
    assert sum(one.swing for one in votes) > 0  # together they vote for the right answer


def test_the_costliest_node_is_the_one_without_which_the_masked_model_is_worst(hand):
    ranked = costliest(hand.ablate_each(hand.circuit.node_list))
    losses = {n: hand.run(hand.circuit.without([n]).masks(hand.model.config)).loss for n in ranked}
    assert losses[ranked[0]] == pytest.approx(max(losses.values()), abs=1e-5)
