"""Which circuits count for a model's place among models."""

from pathlib import Path

import pytest

from circuit_sparsity.evidence.frontier import geometric_mean, smallest
from circuit_sparsity.experiment.sizes import sized
from circuit_sparsity.release import read_viz

SHIPPED = Path(__file__).parent.parent.parent / "cache/viz/starter"


def shipped(name):
    model, task, sweep, k = ("starter", *name.split("/"))
    path = SHIPPED / name / "viz_data.pt"
    return sized(read_viz(path, model=model, task=task, sweep=sweep, k=k))


@pytest.fixture(scope="module")
def brackets():
    names = ("full/k49_seed0_full", "prune/k48_seed0", "prune/k68_seed0", "prune/k128_seed0")
    return [shipped(f"bracket_counting/{name}") for name in names]


def test_of_each_task_the_fewest_edges_at_the_target_count(brackets):
    best = smallest(brackets)
    assert best["bracket_counting"].k == "k49_seed0_full"
    assert (best["bracket_counting"].nodes, best["bracket_counting"].edges) == (49, 49)


def test_a_circuit_above_the_target_counts_only_if_it_was_found_for_it(brackets):
    """48 nodes have a loss of 0.35 nats and were cut to a size, not to the target."""
    cut = brackets[1]
    assert cut.loss > 0.3
    assert smallest([cut]) == {}
    assert smallest([cut], target=0.4)["bracket_counting"] is cut


def test_the_mean_is_geometric():
    assert geometric_mean([22, 49]) == pytest.approx((22 * 49) ** 0.5)
    with pytest.raises(ValueError, match="at least one task"):
        geometric_mean([])
