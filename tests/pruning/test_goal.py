"""What a node costs, and how the price is steered."""

import math

import pytest
import torch

from circuit_sparsity.pruning.settings import Goal, Price, PruneSettings


def see(price: Price, loss: float, nodes: int) -> None:
    price.see(torch.tensor(loss), torch.tensor(float(nodes)))


def test_one_more_node_costs_the_coefficient_or_its_share_of_the_logarithm() -> None:
    assert float(
        Price(Goal(), PruneSettings(k_coef=1e-4)).per_node(torch.tensor(50.0))
    ) == pytest.approx(1e-4)
    price = Price(Goal(), PruneSettings(penalty="log_nodes", k_coef=0.0048))
    assert float(price.per_node(torch.tensor(50.0))) == pytest.approx(0.0048 / 50)
    assert float(price.per_node(torch.tensor(0.0))) == pytest.approx(0.0048)
    assert float(Price(Goal(), PruneSettings(k_coef=0.0)).per_node(torch.tensor(7.0))) == 0.0


def test_an_unsteered_price_stays() -> None:
    price = Price(Goal(), PruneSettings(k_coef=1e-3, steer=0.0))
    see(price, 0.0, 5000)
    assert price.k_coef == pytest.approx(1e-3)


def test_a_price_rises_below_the_aim_and_falls_above_it() -> None:
    # Aim 0.5 · 0.2 = 0.1. A loss of 0.04 leaves 60% to spare: up by 0.6 · 0.05 of a logarithm.
    # Then the mean of the losses is 0.9 · 0.04 + 0.1 · 2 = 0.236: down by the whole 0.05.
    price = Price(Goal(target=0.2), PruneSettings(k_coef=1e-3, steer=0.05, aim=0.5))
    see(price, 0.04, 5000)
    assert price.k_coef == pytest.approx(1e-3)  # all that were ever on still are
    see(price, 0.04, 2000)
    assert math.log(price.k_coef / 1e-3) == pytest.approx(0.03)
    see(price, 2.0, 2000)
    assert math.log(price.k_coef / 1e-3) == pytest.approx(0.03 - 0.05)


def test_with_an_exact_size_the_price_rises_as_long_as_there_are_more_nodes() -> None:
    price = Price(Goal(k=100), PruneSettings(k_coef=1e-3, steer=0.05))
    see(price, 9.0, 5000)
    see(price, 9.0, 200)
    assert math.log(price.k_coef / 1e-3) == pytest.approx(0.05)
    see(price, 9.0, 80)
    assert math.log(price.k_coef / 1e-3) == pytest.approx(0.05 + 0.05 * math.log2(0.8))


def test_the_goal_is_the_papers_unless_another_is_given() -> None:
    assert Goal.of(None, None) == Goal(target=0.15)
    assert Goal.of(0.3, None) == Goal(target=0.3)
    assert Goal.of(None, 12).k == 12
