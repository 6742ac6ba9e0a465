"""What training text must not hold: the structures of the prompts that models are tested on."""

import random
from collections.abc import Iterator
from functools import cache

from circuit_sparsity.tasks import TASKS
from circuit_sparsity.tasks.skeleton import Shapes, shapes
from circuit_sparsity.tasks.template import WORDS

# Every example of a template has the same shape; the second guards against an odd first one.
_EXAMPLES = 2


@cache
def novel_shapes() -> Shapes:
    """The shapes of all novel templates of all tasks; `.found_in(program)` tells of one."""
    return shapes(_cut_programs())


def _cut_programs() -> Iterator[tuple[str, int, int]]:
    """Programs from every novel template with the place after their answer, and `novel`."""
    rng = random.Random(0)
    for task in TASKS.values():
        for template in task.templates:
            for _ in range(_EXAMPLES if template.novel else 0):
                example = task.example(template, WORDS[template.split], rng)
                prompts = (example.pair.positive, example.pair.negative)
                for program, prompt in zip(example.programs, prompts, strict=True):
                    yield program, len(prompt.text + prompt.right), template.novel
