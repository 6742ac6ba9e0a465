"""Templates against what the generator of training programs makes."""

import random
from collections import Counter

import pytest

from circuit_sparsity.programs import generate_program
from circuit_sparsity.tasks import TASKS
from circuit_sparsity.tasks.novel import beginning, lines_of, novel_shapes


@pytest.fixture(scope="module")
def programs() -> tuple[str, ...]:
    rng = random.Random(11)
    return tuple(generate_program(rng) for _ in range(700))


@pytest.fixture(scope="module")
def starts(programs) -> Counter[str]:
    """How many programs have a line that begins with a shape."""
    found: Counter[str] = Counter()
    for program in programs:
        words = [line.shape.split(" ") for line in lines_of(program)]
        found.update({" ".join(w[:n]) for w in words for n in range(1, len(w) + 1)})
    return found


def test_generated_programs_hold_no_structure_of_a_test_prompt(programs):
    assert [p for p in programs[:150] if novel_shapes().found_in(p)] == []


@pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
def test_generated_programs_have_the_lines_of_familiar_templates(task, starts):
    for template in task.select("prune", "familiar"):
        assert sum(starts[shape] for shape in shapes_at_the_question(task, template)) > 0, template


def shapes_at_the_question(task, template) -> set[str]:
    """The shapes of the line of the question, up to the answer, in a few examples."""
    found = set()
    for example in task.examples("prune", 60, templates="familiar"):
        if example.template == template:
            prompts = (example.pair.positive, example.pair.negative)
            for prompt, program in zip(prompts, example.programs, strict=True):
                found.add(beginning(program, len(prompt.text + prompt.right))[1].shape)
    return found
