"""A head's channels add up to its scores and its output, with and without a sink."""

import math

import pytest
import torch
from handmade import marked_model

from circuit_sparsity.core.hooks import Recorder, chain
from circuit_sparsity.nodes.head import run_head
from circuit_sparsity.runtime.ablation import mean_fill
from tests.release.cases import CIRCUITS, YOLO2, open_experiment


@pytest.mark.parametrize("name", [YOLO2, CIRCUITS[-1]])
@pytest.mark.parametrize("of_circuit", [False, True])
def test_channels_add_up_to_scores_and_output(release_fixture, name, of_circuit):
    experiment = open_experiment(release_fixture, name)
    model, d = experiment.model, experiment.model.config.d_head
    tokens = experiment.batch.tokens[0, : int(experiment.batch.last[0]) + 1].tolist()
    fill = mean_fill(experiment.alive, experiment.means)
    hooks = [fill] if of_circuit else []
    head = run_head(model, tokens, 1, 2, chain(*hooks))
    recorder = Recorder(r"1\.attn\.y")
    model.residual(torch.tensor([tokens]), chain(*hooks, recorder))
    y = recorder.tensors["1.attn.y"][0, :, 2 * d : 3 * d]
    brought = torch.stack([head.value_of(c).nansum(1) for c in range(d)], dim=1)
    torch.testing.assert_close(brought, y, atol=1e-5, rtol=1e-5)
    scores = torch.stack([head.score_of(c) for c in range(d)]).sum(0)
    assert torch.equal(scores.isnan(), torch.ones_like(scores).triu(1).bool())
    odds = (scores - scores[:, :1]).exp() * head.pattern[:, :1]
    torch.testing.assert_close(odds, head.pattern, equal_nan=True, atol=1e-5, rtol=1e-4)
    total = head.pattern.nansum(1) + (0 if head.sink is None else head.sink)
    torch.testing.assert_close(total, torch.ones(len(tokens)))
    assert (head.sink is not None) == model.config.sink


def test_the_head_of_the_hand_made_model_looks_at_the_marked_token():
    # Scores are +10, -10 and 0, the sink's logit is 0: weights by hand.
    hand = marked_model(sink=True)
    hand.model.get_parameter("transformer.h.0.attn.attn_imp.sink_logit").fill_(0.0)
    head = run_head(hand.model, [1, 3, 5], 0, 0)
    total = math.exp(10) + math.exp(-10) + 2
    expected = [math.exp(10) / total, math.exp(-10) / total, 1 / total]
    assert head.pattern[-1].tolist() == pytest.approx(expected, abs=1e-5)
    assert head.sink is not None
    assert float(head.sink[-1]) == pytest.approx(1 / total, abs=1e-5)
    assert head.score_of(0)[-1].tolist() == pytest.approx([10.0, -10.0, 0.0], abs=1e-4)
