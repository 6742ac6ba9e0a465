"""A task from a function: compare after `if`, assign elsewhere, with names of each split's own."""

import random

from circuit_sparsity.tasks.own import FunctionTask
from circuit_sparsity.tasks.task import Pair, Prompt

NAMES = {
    "prune": ("apple", "river", "candle", "window"),
    "validation": ("garden", "bridge"),
    "test": ("button", "engine"),
}


def comparison(rng: random.Random, split: str) -> Pair:
    name, number = rng.choice(NAMES[split]), rng.randint(0, 99)
    asked = Prompt(f"if {name}", f" == {number}:\n", f" = {number}\n")
    told = Prompt(f"{name}", f" = {number}\n", f" == {number}:\n")
    return Pair(asked, told)


TASK = FunctionTask("comparison", "Compare after if, assign elsewhere.", comparison)
