"""What a recipe does: from single ablations, on other prompts, in a fresh interpreter."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from circuit_sparsity.circuits.recipe import Recipe
from circuit_sparsity.core.names import Node
from circuit_sparsity.experiment.opening import open_circuit
from circuit_sparsity.experiment.recipes import (
    OtherPrompts,
    effects,
    faithfulness_of,
    in_whole_model,
    on_pair,
    on_task,
    on_text,
    snippet,
)
from circuit_sparsity.tasks.task import Prompt

ROOT = Path(__file__).parent.parent.parent
NAMES = ("starter", "single_double_quote", "prune", "k44_seed0")
TEXTS = (Prompt('print("hello', '")', "')"), Prompt("print('hello", "')", '")'))


@pytest.fixture(scope="module")
def circuit():
    return open_circuit(*NAMES)


@pytest.fixture(scope="module")
def parts(circuit):
    """Two nodes that matter and an edge."""
    nodes = sorted(circuit.ablate_each(circuit.circuit.node_list), key=lambda e: -e.delta)[:2]
    return [str(nodes[0].parts[0]), str(nodes[1].parts[0]), str(circuit.edges[0])]


def test_alone_so_far_and_together_are_those_of_single_ablations(circuit, parts):
    found = effects(circuit, Recipe.parse(parts))
    alone = [circuit.ablate([part]).delta for part in parts]
    so_far = [circuit.ablate(parts[: i + 1]).delta for i in range(3)]
    assert [step.alone for step in found.steps] == pytest.approx(alone, abs=1e-6)
    assert [step.so_far for step in found.steps] == pytest.approx(so_far, abs=1e-6)
    assert found.delta == pytest.approx(so_far[-1], abs=1e-6)
    assert found.interaction == pytest.approx(so_far[-1] - sum(alone), abs=1e-6)


def test_levels_can_differ_from_step_to_step(circuit, parts):
    zero = circuit.apply(Recipe.parse([f"{parts[0]}=zero"])).delta
    assert zero == pytest.approx(circuit.ablate([parts[0]], "zero").delta, abs=1e-6)
    assert circuit.apply(Recipe.parse([f"{parts[0]}=0"])).delta == pytest.approx(zero, abs=1e-6)
    assert circuit.apply(Recipe.parse([f"{parts[0]}*1"])).delta == pytest.approx(0, abs=1e-6)
    assert circuit.apply(Recipe.parse([f"{parts[0]}*0"])).delta == pytest.approx(zero, abs=1e-6)


def test_faithfulness_is_1_for_the_model_and_0_for_the_empty_circuit(circuit):
    assert faithfulness_of(circuit, circuit.of_model) == pytest.approx(1)
    assert faithfulness_of(circuit, circuit.of_nothing) == pytest.approx(0, abs=1e-5)


def test_in_the_whole_model_only_the_parts_of_the_recipe_are_changed(circuit, parts):
    node = Node.parse(parts[0])
    alone = {place: torch.ones_like(mask) for place, mask in circuit.alive.items()}
    alone[node.location][node.channel] = False
    found = in_whole_model(circuit, Recipe.parse([parts[0]]))
    torch.testing.assert_close(found.losses, circuit.run(alone).losses)
    every = in_whole_model(circuit, Recipe.parse(map(str, circuit.circuit.node_list)))
    torch.testing.assert_close(every.losses, circuit.of_complement.losses)
    nothing = in_whole_model(circuit, Recipe.parse([f"{parts[0]}*1", f"{parts[2]}*1"]))
    torch.testing.assert_close(nothing.losses, circuit.of_model.losses)
    cut = in_whole_model(circuit, Recipe.parse([f"{parts[2]}=3"]))
    assert not torch.allclose(cut.losses, circuit.of_model.losses)


def test_a_pair_a_text_and_a_task_are_other_prompts_for_the_same_circuit(circuit):
    pair = on_pair(circuit, 3)
    assert pair.batch.tokens.tolist() == circuit.batch.tokens[[3, 3 + 128]].tolist()
    with pytest.raises(ValueError, match="there are 128"):
        on_pair(circuit, 128)
    text = on_text(circuit, *TEXTS)
    assert len(text.batch) == 2
    assert text.of_model.accuracy == 1
    task = on_task(circuit, "bracket_counting")
    assert len(task.batch) == 64
    with pytest.raises(ValueError, match="no task named"):
        on_task(circuit, "nonsense")


@pytest.mark.parametrize(
    "prompts",
    [OtherPrompts(), OtherPrompts("text", text=TEXTS)],
    ids=lambda one: one.where,
)
def test_the_snippet_prints_the_same_number_in_a_fresh_interpreter(circuit, parts, prompts):
    recipe = Recipe.parse([parts[0], f"{parts[1]}*0.5", f"{parts[2]}=1.5"])
    wanted = prompts.take(circuit).apply(recipe).delta
    done = subprocess.run(
        [sys.executable, "-c", snippet(circuit.circuit, recipe, prompts)],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert abs(wanted) > 1e-3
    assert float(done.stdout) == pytest.approx(wanted, abs=2e-6)
