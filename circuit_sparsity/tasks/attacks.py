"""Prompts that a circuit read off the weights should get wrong: what its mechanism does not see.

Bracket counting averages over the context how often a bracket opens (Gao et al. 2025, section on
bracket counting), so long lists dilute the average and a bracket in a comment raises it. String
closing looks for the last quotation mark, so an apostrophe inside a string should lead it astray.
Structures are familiar ones, names and words those of the test split.
"""

import random
from collections.abc import Callable

from circuit_sparsity.tasks.task import Pair, distinct
from circuit_sparsity.tasks.template import WORDS, Template, TemplateTask

_BRACKETS = TemplateTask("longer_lists", "", answers=("]]\n", "]\n"), templates=())
_QUOTES = TemplateTask("apostrophes", "", answers=("')\n", '")\n'), templates=())


def longer_lists(elements: int, n: int, seed: int = 0) -> tuple[Pair, ...]:
    """``n`` pairs of bracket counting whose last list holds ``elements`` numbers below 10.

    The positive prompt is nested (`]]` is right), its counterpart flat. Raises ValueError for
    fewer than one element.
    """
    if elements < 1:
        raise ValueError(f"a list of {elements} elements cannot be closed; give 1 or more")

    def text(rng: random.Random) -> str:
        numbers = ", ".join(str(rng.randint(0, 9)) for _ in range(elements))
        return f"def $v1_$n1($n2):\n    values =«[[|[»{numbers}"

    return _pairs(_BRACKETS, text, n, f"longer lists/{elements}/{seed}")


def brackets_in_comments(brackets: int, n: int, seed: int = 0) -> tuple[Pair, ...]:
    """``n`` pairs of bracket counting after a comment with so many unmatched opening brackets.

    Raises ValueError for a negative number.
    """
    if brackets < 0:
        raise ValueError(f"got {brackets} brackets; expected 0 or more")

    def text(rng: random.Random) -> str:
        words = ["$w1", *["[$w2", "[$w3", "[$w4", "[$w5"][:brackets]]
        words += ["["] * (brackets - 4)
        numbers = ", ".join(str(rng.randint(0, 9)) for _ in range(rng.randint(3, 6)))
        return f"# {' '.join(words)}\ndef $v1_$n1($n2):\n    values =«[[|[»{numbers}"

    return _pairs(_BRACKETS, text, n, f"brackets in comments/{brackets}/{seed}")


def marks_in_strings(marks: int, n: int, seed: int = 0) -> tuple[Pair, ...]:
    """``n`` pairs of string closing whose string holds the other quotation mark ``marks`` times.

    An odd number leaves one unmatched, as an apostrophe does. The positive prompt's string is
    closed by a single quote. Raises ValueError for a negative number.
    """
    if marks < 0:
        raise ValueError(f"got {marks} quotation marks; expected 0 or more")

    def text(rng: random.Random) -> str:
        words = ["$w1", *["«\"|'»$w2", "«\"|'»$w3", "«\"|'»$w4"][:marks], "$w5"]
        return f"def $v1_$n1($n2):\n    $n3 = $n2 + $d1\n    print(«'|\"»{' '.join(words)}"

    return _pairs(_QUOTES, text, n, f"marks in strings/{marks}/{seed}")


def _pairs(
    task: TemplateTask, text: Callable[[random.Random], str], n: int, seed: str
) -> tuple[Pair, ...]:
    rng = random.Random(seed)

    def pair() -> Pair:
        return task.example(Template("test", text(rng)), WORDS["test"], rng).pair

    made = distinct(pair, n)
    if len(made) < n:
        raise ValueError(f"there are only {len(made)} different pairs of this kind; ask for fewer")
    return tuple(made)
