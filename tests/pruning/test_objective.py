"""What a circuit is asked for: the right answer, or the model's two answers."""

import dataclasses
import math

import pytest
import torch

from circuit_sparsity.experiment.experiment import Experiment
from circuit_sparsity.pruning.find import Cut, find
from circuit_sparsity.pruning.objective import Objective
from circuit_sparsity.pruning.ranking import Ranking
from circuit_sparsity.pruning.settings import Goal, PruneSettings
from circuit_sparsity.pruning.subject import Subject
from tests.handmade import MARGIN_OF_4, HandMade, sign_model

KL = PruneSettings(steps=60, learning_rate=1e-2, objective="kl")


def subject_of(made: HandMade) -> Subject:
    return Subject(made.model, made.means, made.batch, made.batch, "handmade", "hand")


def divergence(of_model: float, of_circuit: float) -> float:
    """By its definition, from the two probabilities of each."""
    p, q = (1 / (1 + math.exp(-margin)) for margin in (of_model, of_circuit))
    return p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))


def test_the_divergence_is_that_of_two_coins() -> None:
    pairs = [(2.0, 2.0), (2.0, -1.0), (0.0, 3.0), (-4.0, 0.5)]
    of_model, margins = torch.tensor(pairs).unbind(dim=1)
    expected = [divergence(*pair) for pair in pairs]
    assert Objective("kl")(margins, of_model).tolist() == pytest.approx(expected, abs=1e-6)
    assert expected[0] == 0.0


def test_the_task_asks_for_the_right_answer_alone() -> None:
    loss = Objective()(torch.tensor([4.0, -4.0]), None)
    assert loss.tolist() == pytest.approx([MARGIN_OF_4, MARGIN_OF_4 + 4], abs=1e-6)


def test_an_unknown_objective_is_refused() -> None:
    with pytest.raises(ValueError, match="objective is 'mse'; expected one of task, kl"):
        PruneSettings(objective="mse")


def test_what_is_told_is_the_divergence_from_the_whole_model() -> None:
    made = sign_model()
    subject = subject_of(made)
    opened = Experiment(made.circuit, made.model, made.means, made.batch)
    margins = {}
    for name, outcome in (("model", opened.of_model), ("circuit", opened.of_circuit)):
        margins[name] = [-math.log(math.expm1(float(loss))) for loss in outcome.losses]
    pairs = zip(margins["model"], margins["circuit"], strict=True)
    expected = sum(divergence(*pair) for pair in pairs) / len(made.batch)
    scores = subject.layout.join(made.circuit.masks(made.model.config)).float()
    cut = Cut(subject, Ranking(scores, 4, KL, (), 0.0))
    assert cut.circuit(Goal(k=4)).found.loss == pytest.approx(expected, abs=1e-5)
    whole = cut.circuit(Goal(k=subject.layout.size))
    assert whole.found.loss == pytest.approx(0.0, abs=1e-6)


def test_pruning_to_a_divergence_keeps_what_tells_the_answers_apart() -> None:
    made = sign_model()
    circuit = find(subject_of(made), KL, target=0.05)
    assert set(made.nodes) <= set(map(str, circuit.node_list))
    assert circuit.found.loss <= 0.05
    assert (circuit.found.settings or {})["objective"] == "kl"


def test_the_objective_is_part_of_a_circuits_name() -> None:
    assert dataclasses.replace(KL, objective="task").preset != KL.preset
