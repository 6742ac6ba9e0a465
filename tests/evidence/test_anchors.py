"""Anchors, intervals and the rest, on models whose answers are known from paper."""

import dataclasses
import json
import math

import numpy
import pytest
import torch

from circuit_sparsity.evidence.anchors import (
    Answers,
    anchors,
    best_constant_guess,
    intervals,
    within_classes,
)
from circuit_sparsity.evidence.evidence import Control, Evidence
from circuit_sparsity.evidence.measures import RANDOM_OUTSIDE, measure, random_nodes
from circuit_sparsity.evidence.rest import PartOfRest, ShareOfRest, part_of_rest
from circuit_sparsity.experiment.experiment import Experiment
from tests.handmade import LN2, MARGIN_OF_4, HandMade, circuit_of, sign_model, softplus


def experiment(made: HandMade) -> Experiment:
    return Experiment(made.circuit, made.model, made.means, made.batch)


def test_a_constant_guess_of_pairs_is_a_coin_and_of_others_their_entropy() -> None:
    right, wrong = torch.tensor([4, 4, 5, 5]), torch.tensor([5, 5, 4, 4])
    assert best_constant_guess(right, wrong) == pytest.approx(LN2, abs=1e-6)
    three_of_four = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    right, wrong = torch.tensor([4, 4, 4, 5]), torch.tensor([5, 5, 5, 4])
    assert best_constant_guess(right, wrong) == pytest.approx(three_of_four, abs=1e-6)


def answers_of(margins: dict[str, list[float]]) -> Answers:
    """Two tokens, 0 right for the first half and 1 for the second, with these margins."""
    n = len(margins["model"])
    right = torch.tensor([0] * (n // 2) + [1] * (n // 2))
    logits = {}
    for name, values in margins.items():
        signed = [m if i < n // 2 else -m for i, m in enumerate(values)]
        logits[name] = torch.tensor([[x, 0.0] for x in signed])
    return Answers(**logits, right=right, wrong=1 - right)


def test_faithfulness_and_completeness_are_held_against_a_coin() -> None:
    answers = answers_of(
        {"model": [4.0] * 4, "circuit": [2.0] * 4, "empty": [-3.0] * 4, "rest": [0.0] * 4}
    )
    found = anchors(answers)
    assert found.constant_loss == pytest.approx(LN2, abs=1e-6)
    assert found.faithfulness == pytest.approx(
        (softplus(-2) - LN2) / (softplus(-4) - LN2), abs=1e-5
    )
    assert found.completeness == pytest.approx(0, abs=1e-5)
    assert found.by_margin == pytest.approx(0.5)
    assert found.accuracies == (1.0, 1.0, 0.5)
    assert found.margin_correlation == (None, None)  # no margin varies


def test_correlation_within_classes_is_not_that_of_the_classes() -> None:
    model = torch.tensor([1.0, 2.0, 3.0, -1.0, -2.0, -4.0])
    circuit = torch.tensor([3.0, 2.0, 1.0, -1.0, -2.0, -4.0])
    first, second = within_classes(circuit, model)
    assert first == pytest.approx(-1)
    assert second == pytest.approx(1)
    together = numpy.corrcoef(model.numpy(), circuit.numpy())[0, 1]
    assert together > 0.85


def test_intervals_hold_the_figure_and_shrink_to_it_where_prompts_agree() -> None:
    margins = [float(i) for i in range(-2, 18)]
    answers = answers_of(
        {"model": [4.0] * 20, "circuit": margins, "empty": [0.0] * 20, "rest": [0.0] * 20}
    )
    found = intervals(answers)
    assert found["model_loss"] == pytest.approx((softplus(-4), softplus(-4)), abs=1e-6)
    losses = [softplus(-m) for m in margins]
    low, high = found["sufficiency"]
    assert low < sum(losses) / 20 < high
    # Pairs are drawn together: prompts i and i + 10 share their fate.
    pairs = [(losses[i] + losses[i + 10]) / 2 for i in range(10)]
    error = numpy.std(pairs) / math.sqrt(10)
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.2)
    assert found == intervals(answers)


def test_a_circuit_that_the_model_does_not_need_is_called_out() -> None:
    made = sign_model()
    spare = circuit_of(made.model.config, ("0.mlp.post_act:1",))
    found = measure(dataclasses.replace(experiment(made), circuit=spare), draws=0)
    assert found.necessity == pytest.approx(found.model_loss, abs=1e-6)
    assert any("does not need this circuit" in trouble for trouble in found.troubles)
    needed = measure(experiment(made), draws=0)
    assert needed.anchors is not None
    assert needed.anchors.accuracies[2] <= 0.5
    assert needed.troubles == ()


def test_a_search_for_a_control_that_ends_at_a_guess_is_no_evidence() -> None:
    failed = Control("shuffled answers", "prompts", (0.71,), 0.1, best_loss=0.69)
    assert failed.failed is not None
    assert "no better than a guess" in failed.failed
    assert Control("shuffled answers", "prompts", (0.71,), 0.1, best_loss=0.4).failed is None
    assert Control("random nodes", "prompts", (0.9,), 0.1, (0.1,), 0.8).failed is None


def test_random_nodes_outside_share_nothing_with_the_circuit() -> None:
    made = sign_model()
    for seed in range(8):
        drawn = random_nodes(made.model.config, made.circuit, seed, outside=True)
        assert drawn.size == made.circuit.size
        assert not set(drawn.node_list) & set(made.circuit.node_list)
    names = {control.name for control in measure(experiment(made), draws=1).controls}
    assert RANDOM_OUTSIDE in names


def test_part_of_the_rest_ends_at_the_model_and_at_the_circuit() -> None:
    whole = experiment(sign_model())
    found = part_of_rest(whole, shares=(0.0, 1.0), draws=2)
    nothing, everything = found.shares
    assert nothing.losses == pytest.approx([whole.of_model.loss] * 2, abs=1e-6)
    assert nothing.random == pytest.approx([whole.of_model.loss] * 2, abs=1e-6)
    assert everything.losses == pytest.approx([MARGIN_OF_4] * 2, abs=1e-5)
    assert found.circuit_loss == pytest.approx(MARGIN_OF_4, abs=1e-5)


def test_a_circuit_that_a_share_often_breaks_is_red() -> None:
    shares = (ShareOfRest(0.25, (0.1,) * 14 + (0.9, 0.9), (0.7,) * 16),)
    assert PartOfRest("prompts", 0.1, shares).trouble is not None
    assert PartOfRest("prompts", 0.5, shares).trouble is None


def test_new_measures_are_read_back_and_old_files_still_open() -> None:
    opened = experiment(sign_model())
    rest = part_of_rest(opened, shares=(0.5,), draws=2)
    found = dataclasses.replace(measure(opened, draws=1), rest=rest)

    assert Evidence.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    new = ("anchors", "intervals", "shortcuts", "rest")
    old = {key: value for key, value in found.to_dict().items() if key not in new}
    again = Evidence.from_dict(json.loads(json.dumps(old)))
    assert again.anchors is None
    assert again.sufficiency == found.sufficiency
