"""Cells of the whole model: estimated by one backward pass, then patched."""

from dataclasses import replace

import pytest
import torch

from circuit_sparsity.circuits.recipe import Recipe
from circuit_sparsity.experiment.opening import open_circuit
from circuit_sparsity.experiment.recipes import in_whole_model
from circuit_sparsity.patching.model_cells import strongest_in_model


@pytest.fixture(scope="module")
def circuit():
    opened = open_circuit("starter", "single_double_quote", "prune", "k44_seed0")
    return replace(opened, batch=opened.batch.select([1]))


def test_exact_changes_are_those_of_a_step_in_the_whole_model(circuit):
    cells = strongest_in_model(circuit, 0, 40)
    kept = [cell for cell in cells if cell.kept]
    assert kept
    for cell in kept[:4]:
        recipe = Recipe.parse([f"{cell.node}@{cell.position}=pair"])
        after = in_whole_model(circuit, recipe).losses[0]
        margin = -torch.log(torch.expm1(circuit.of_model.losses[0]))
        wanted = torch.nn.functional.softplus(-(margin + cell.exact))
        assert float(after) == pytest.approx(float(wanted), abs=1e-3)


def test_the_largest_changes_come_first_and_small_ones_are_near_their_estimates(circuit):
    cells = strongest_in_model(circuit, 0, 40)
    sizes = [abs(cell.exact) for cell in cells]
    assert sizes == sorted(sizes, reverse=True)
    last = [cell for cell in cells if cell.node.location.kind == "final_resid"]
    for cell in last:  # one norm away from the answer: nearly linear
        assert cell.exact == pytest.approx(cell.estimate, rel=0.4, abs=0.05)
    with pytest.raises(ValueError, match="at least 1"):
        strongest_in_model(circuit, 0, 0)
