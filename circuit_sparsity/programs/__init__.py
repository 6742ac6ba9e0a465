"""Small idiomatic Python programs, made from a seed.

Each program parses, is 40 to 400 tokens long, and strings together templates of one or more
families; a family is one file. Names and words come from the training lists of
`circuit_sparsity.tasks.words` alone, or are invented (`syllables`).
"""

import random
from bisect import bisect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate

from circuit_sparsity.programs import (
    accumulators,
    assignments,
    branches,
    classes,
    comprehensions,
    conditions,
    contrasts,
    copies,
    files,
    functions,
    gathering,
    handles,
    heads,
    lists,
    loops,
    modules,
    strings,
    swaps,
)
from circuit_sparsity.programs.writer import LIST_NAMES, Lines, Template, Writer
from circuit_sparsity.tasks.novel import novel_shapes

# How large a part of all templates drawn each family is.
FAMILIES: dict[str, tuple[float, tuple[tuple[float, Template], ...]]] = {
    "strings": (0.07, strings.TEMPLATES),
    "lists": (0.12, lists.TEMPLATES),
    "accumulators": (0.02, accumulators.TEMPLATES),
    "loops": (0.04, loops.TEMPLATES),
    "classes": (0.02, classes.TEMPLATES),
    "files": (0.02, files.TEMPLATES),
    "conditions": (0.03, conditions.TEMPLATES),
    "functions": (0.03, functions.TEMPLATES),
    "assignments": (0.01, assignments.TEMPLATES),
    "comprehensions": (0.01, comprehensions.TEMPLATES),
    "modules": (0.02, modules.TEMPLATES),
    "copies": (0.12, copies.TEMPLATES),
    "swaps": (0.12, swaps.TEMPLATES),
    "gathering": (0.08, gathering.TEMPLATES),
    "handles": (0.09, handles.TEMPLATES),
    "contrasts": (0.09, contrasts.TEMPLATES),
    "heads": (0.06, heads.TEMPLATES),
    "branches": (0.05, branches.TEMPLATES),
}
# In estimated tokens. A token is about three characters, but each number and comma is one.
_SHORTEST, _LONGEST, _CEILING = 45, 280, 340


@dataclass(frozen=True)
class Mixture:
    """What programs are made of."""

    list_names: float = LIST_NAMES  # share of the lists whose elements are names
    # Of families, where not as above.
    shares: Mapping[str, float] = field(default_factory=dict[str, float])

    def __reduce__(self) -> tuple[type, tuple[float, dict[str, float]]]:
        """To another process go the shares alone, not the templates drawn so far."""
        return Mixture, (self.list_names, dict(self.shares))

    @cached_property
    def _weighted(self) -> list[tuple[float, Template]]:
        return [
            (self.shares.get(name, share) * weight / sum(w for w, _ in templates), template)
            for name, (share, templates) in FAMILIES.items()
            for weight, template in templates
        ]

    @cached_property
    def _cumulative(self) -> list[float]:
        return list(accumulate(weight for weight, _ in self._weighted))

    def template(self, w: Writer) -> Template:
        """One of all templates, as often as the shares say."""
        return self._weighted[bisect(self._cumulative, w.random() * self._cumulative[-1])][1]


USUAL = Mixture()


def generate_program(rng: random.Random, mixture: Mixture = USUAL) -> str:
    """One program, ending in a newline."""
    writer = Writer(rng, mixture.list_names)
    # Short programs are the more frequent ones: the length is even on a logarithmic scale.
    goal = _SHORTEST * (_LONGEST / _SHORTEST) ** writer.random()
    lines: Lines = [writer.comment()] if writer.chance(0.05) else []
    length = 0.0
    while length < goal:
        part = mixture.template(writer)(writer)
        added = _estimated_tokens(part)
        if length + added > _CEILING:
            continue
        length += added
        if lines and writer.chance(0.5 if part[0].startswith(("def ", "class ", "@")) else 0.2):
            lines.append("")
        lines += part
    while lines[-1] == "":
        lines.pop()
    return "\n".join(lines) + "\n"


def generate_documents(
    seed: int | str, n: int, start: int = 0, mixture: Mixture = USUAL
) -> Iterator[str]:
    """The programs numbered `start` to `start + n - 1` of the endless series `seed`.

    A program with the structure of a novel test prompt of some task is drawn again.
    """
    novel = novel_shapes()
    for number in range(start, start + n):
        rng = random.Random(f"{seed}/{number}")
        program = generate_program(rng, mixture)
        while novel.found_in(program):
            program = generate_program(rng, mixture)
        yield program


def _estimated_tokens(lines: Lines) -> float:
    text = "\n".join(lines)
    return len(text) / 3.3 + text.count(",") * 1.8
