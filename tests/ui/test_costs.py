"""What nodes cost: an estimate on few prompts is marked, and gives way to all of them."""

from dataclasses import replace

import pytest

from circuit_sparsity.ui.shell import cached, costs
from circuit_sparsity.ui.shell.pickers import Choice
from tests.ui.conftest import MODEL, SWEEP, TASK, K


def test_an_estimate_is_marked_and_replaced_by_what_all_prompts_give(cache, monkeypatch):
    monkeypatch.setattr(costs, "pairs_for", lambda parts, pairs: 1)
    view = replace(cached.live(Choice(MODEL, TASK, SWEEP, K)))  # one that nothing is kept of
    experiment, prompts = view.experiment, len(view.experiment.batch)
    assert prompts > 2
    estimate = costs.costs_of_nodes(view, "zero")
    assert estimate.is_estimate
    assert estimate.on == "≈ 2 prompts"
    found = costs.start(view, "zero").result()
    assert costs.costs_of_nodes(view, "zero") is found
    assert found.on == f"{prompts} prompts"
    node = view.wiring.nodes[0]
    expected = experiment.ablate([node], "zero").delta
    assert found.rises[node] == pytest.approx(expected, abs=1e-9)
    assert costs.cost_alone(view, node, "zero") == pytest.approx(expected, abs=1e-9)
