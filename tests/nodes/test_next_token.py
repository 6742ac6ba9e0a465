"""What comes next after one prompt."""

import math

import pytest
import torch

from circuit_sparsity.nodes.next_token import NextToken, next_token
from tests.handmade import sign_model


def test_probabilities_are_the_softmax_and_the_top_is_sorted():
    expected = NextToken(torch.tensor([0.0, math.log(3), math.log(4)]))
    assert expected.top(2) == ((2, pytest.approx(0.5)), (1, pytest.approx(0.375)))
    assert len(expected.top(10)) == 3


def test_two_tokens_against_each_other_leave_the_others_out():
    expected = NextToken(torch.tensor([5.0, math.log(3), 0.0]))
    assert expected.against(1, 2) == pytest.approx(0.75)
    assert expected.against(2, 1) == pytest.approx(0.25)


def test_the_sign_neuron_answers_by_the_last_token():
    made = sign_model()
    alive = made.circuit.masks(made.model.config)
    for token, right in ((1, 4), (2, 5)):
        whole = next_token(made.model, [3, token])
        circuit = next_token(made.model, [3, token], alive, made.means)
        assert circuit.top(1)[0][0] == right
        assert circuit.against(right, 9 - right) == pytest.approx(1 / (1 + math.exp(-4)), abs=1e-5)
        assert whole.top(1)[0][0] == right


def test_without_its_neuron_the_circuit_is_at_chance():
    made = sign_model()
    smaller = made.circuit.without([made.circuit.node_list[1]]).masks(made.model.config)
    assert next_token(made.model, [1], smaller, made.means).against(4, 5) == pytest.approx(0.5)


def test_an_empty_prompt_is_an_error():
    with pytest.raises(ValueError, match="empty; expected at least one token"):
        next_token(sign_model().model, [])


def test_a_prompt_beyond_the_context_is_an_error_that_says_the_context():
    with pytest.raises(ValueError, match="9 tokens; the model's context is 8"):
        next_token(sign_model().model, [1] * 9)
