"""Attribution by hand, and masks against numerical differences."""

import math

import pytest
import torch
import torch.nn.functional as F

from circuit_sparsity.core.names import Node
from circuit_sparsity.pruning.answers import gated, margins
from circuit_sparsity.pruning.attribution import attribute
from circuit_sparsity.pruning.learn import _Run
from circuit_sparsity.pruning.settings import QUICK, Goal, PruneSettings
from circuit_sparsity.pruning.subject import Subject
from tests.handmade import marked_model, sign_model


def subject() -> Subject:
    made = sign_model()
    return Subject(made.model, made.means, made.batch, made.batch, "handmade", "hand")


def test_the_score_of_the_last_node_is_that_on_paper() -> None:
    opened = subject()
    score = attribute(opened, QUICK).scores[opened.layout.index(Node.parse("final_resid:1"))]
    # The margin is sqrt(8)·y/r with r² = (x² + y²)/2; its slope by y is sqrt(8)·x²/(2·r³).
    expected = 0.0
    for x, y in ((1.0, 3.0), (-0.5, -3.0)):
        r = math.sqrt((x * x + y * y) / 2)
        expected += 2 * abs(y * math.sqrt(8) * x * x / (2 * r**3))
    assert float(score) == pytest.approx(expected, rel=1e-5)


def test_nodes_that_change_nothing_score_zero() -> None:
    opened = subject()
    scores = opened.layout.split(attribute(opened, QUICK).scores)
    by_name = {str(place): part for place, part in scores.items()}
    assert by_name["0.attn.v"].tolist() == [0.0]
    assert float(by_name["0.mlp.post_act"][1]) == 0.0
    assert float(by_name["0.mlp.post_act"][0]) > 0


def test_the_gradient_of_the_gates_is_the_numerical_one() -> None:
    made = marked_model(sink=True)
    model = made.model.double()
    opened = Subject(model, made.means, made.batch, made.batch, "handmade", "hand")
    run = _Run(opened, PruneSettings(bf16=False), Goal())
    gate = torch.rand(opened.layout.size, generator=torch.Generator().manual_seed(0)).double()

    def loss(g: torch.Tensor) -> float:
        hook = gated(opened.layout.views(g), opened.layout.views(opened.mean_vector))
        return float(F.softplus(-margins(model, made.batch, hook)).mean())

    _, got = run._task_loss(gate.clone(), made.batch)
    step = 1e-6 * torch.eye(opened.layout.size, dtype=torch.float64)
    expected = [(loss(gate + one) - loss(gate - one)) / 2e-6 for one in step]
    assert got.tolist() == pytest.approx(expected, abs=1e-5)
