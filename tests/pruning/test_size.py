"""How many nodes stay."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from circuit_sparsity.circuits.node_vector import Layout
from circuit_sparsity.core.model import GPTConfig
from circuit_sparsity.pruning.size import exactly, fewest, log_grid

LOSSES = st.lists(st.floats(0, 1), min_size=1, max_size=60)


@settings(deadline=None)
@given(LOSSES, st.floats(0, 1), st.integers(0, 80))
def test_where_loss_falls_with_size_the_fewest_is_found(
    losses: list[float], target: float, first: int
) -> None:
    falling = sorted(losses, reverse=True)
    expected = next((n for n, loss in enumerate(falling) if loss <= target), None)
    assert fewest(lambda n: falling[n], target, first, len(falling) - 1) == expected


@settings(deadline=None)
@given(LOSSES, st.floats(0, 1), st.integers(0, 80))
def test_on_any_curve_the_found_size_meets_the_target_and_one_less_does_not(
    losses: list[float], target: float, first: int
) -> None:
    found = fewest(lambda n: losses[n], target, first, len(losses) - 1)
    if found is None:
        assert losses[-1] > target
    else:
        assert losses[found] <= target
        assert found == 0 or losses[found - 1] > target


def test_few_sizes_are_tried() -> None:
    tried: list[int] = []

    def loss(n: int) -> float:
        tried.append(n)
        return float(n < 100)

    assert fewest(loss, 0.5, 128, 100_000) == 100
    assert len(tried) <= 9


TINY = Layout(
    GPTConfig(
        block_size=2,
        vocab_size=2,
        n_layer=1,
        n_head=1,
        d_head=1,
        d_model=2,
        d_mlp=3,
        rms_norm=True,
        tied_unembed=False,
    )
)
ORDER = torch.arange(16)


def test_removed_nodes_are_refilled_by_rank() -> None:
    dead = torch.tensor([1, 3])

    def live(kept: torch.Tensor) -> torch.Tensor:
        return kept.index_fill(0, dead, False)

    kept = exactly(5, ORDER, TINY, live)
    assert kept.nonzero().flatten().tolist() == [0, 2, 4, 5, 6]


def test_when_too_few_nodes_can_live_the_best_of_the_others_fill_up() -> None:
    def live(kept: torch.Tensor) -> torch.Tensor:
        return kept & (torch.arange(16) % 2 == 0)

    kept = exactly(10, ORDER, TINY, live)
    assert kept.nonzero().flatten().tolist() == [0, 1, 2, 3, 4, 6, 8, 10, 12, 14]


def test_when_one_node_brings_several_to_life_the_worst_go_again() -> None:
    chain = torch.tensor([1, 2, 3])

    def live(kept: torch.Tensor) -> torch.Tensor:
        return kept if bool(kept[6]) else kept.index_fill(0, chain, False)

    # 0, 4, 5 live alone; with 6 come 1, 2 and 3, and of these seven the worst that may go is 5.
    assert exactly(6, ORDER, TINY, live).nonzero().flatten().tolist() == [0, 1, 2, 3, 4, 6]


def test_the_log_grid_ends_at_the_whole_model() -> None:
    assert log_grid(8704, per_octave=2)[-1] == 8704
    assert log_grid(1) == (1,)
