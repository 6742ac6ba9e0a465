"""``Recipe``: what is changed in a circuit, in which order, and how.

A step names a node, or an edge as ``source>target``, and says what it is held at:

    0.attn.k:210          its mean over the pretraining text
    0.attn.k:210=zero     zero
    0.attn.k:210=-1.5     that value, at every position
    0.attn.k:210*2        what it is, times two
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, cast, get_args

from circuit_sparsity.core.names import Node

How = Literal["mean", "zero", "set", "scale"]
HOWS: tuple[How, ...] = get_args(How)
_WRITTEN = re.compile(r"(?P<name>[^=*]+)(?:(?P<sign>[=*])(?P<value>.+))?")
_EXPECTED = (
    "expected NODE or SOURCE>TARGET, then nothing (its mean), =zero, =NUMBER (set to it) or "
    "*NUMBER (scaled by it), such as 3.mlp.post_act:180=0.5"
)


@dataclass(frozen=True)
class Level:
    """What a changed part is held at; ``value`` is the number of "set" and "scale", else 0."""

    how: How = "mean"
    value: float = 0.0

    def __post_init__(self) -> None:
        if self.how not in HOWS:
            raise ValueError(f"a part is held at {self.how!r}; expected one of {', '.join(HOWS)}")
        if not math.isfinite(self.value):
            raise ValueError(f"{self.how} got {self.value}; expected a finite number")
        if self.how in ("mean", "zero"):
            object.__setattr__(self, "value", 0.0)

    @property
    def in_words(self) -> str:
        """
        >>> Level("set", 0.5).in_words, Level("scale", 2.0).in_words, Level().in_words
        ('set to 0.5', 'scaled by 2', 'held at its mean')
        """
        if self.how in ("mean", "zero"):
            return "held at its mean" if self.how == "mean" else "held at zero"
        return f"{'set to' if self.how == 'set' else 'scaled by'} {self.value:g}"

    @property
    def suffix(self) -> str:
        """What follows a part's name when a step is written."""
        number = repr(float(self.value)).removesuffix(".0")
        return {"mean": "", "zero": "=zero", "set": f"={number}", "scale": f"*{number}"}[self.how]


MEAN, ZERO = Level("mean"), Level("zero")


@dataclass(frozen=True)
class Step:
    """One node, or the one edge from ``source`` to ``target``, and what it is held at."""

    source: Node
    target: Node | None = None
    level: Level = MEAN

    @classmethod
    def parse(cls, text: str) -> "Step":
        """The step that is written so; ValueError says how steps are written.

        >>> str(Step.parse("0.attn.act_in:22>0.attn.k:210*0.5"))
        '0.attn.act_in:22>0.attn.k:210*0.5'
        """
        found = _WRITTEN.fullmatch(text.strip())
        if found is None:
            raise ValueError(f"not a step of a recipe: {text!r}; {_EXPECTED}")
        source, arrow, target = found["name"].partition(">")
        ends = Node.parse(source.strip()), Node.parse(target.strip()) if arrow else None
        return cls(*ends, _level(text, found["sign"], found["value"]))

    @property
    def name(self) -> str:
        """Of the node or edge."""
        return str(self.source) if self.target is None else f"{self.source}>{self.target}"

    def __str__(self) -> str:
        return self.name + self.level.suffix


@dataclass(frozen=True)
class Recipe:
    """Steps in the order in which they were made; no part twice."""

    steps: tuple[Step, ...] = ()

    def __post_init__(self) -> None:
        names = [step.name for step in self.steps]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(
                f"the recipe changes {', '.join(twice)} more than once; expected one step a part: "
                "keep the last"
            )

    @classmethod
    def parse(cls, steps: Iterable[str]) -> "Recipe":
        """The recipe of steps that are written as `Step.parse` reads them."""
        return cls(tuple(map(Step.parse, steps)))

    def __str__(self) -> str:
        return " ".join(map(str, self.steps))

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    def with_step(self, step: Step) -> "Recipe":
        """This recipe and ``step``: in the place of the part's own step if it has one."""
        names = [own.name for own in self.steps]
        if step.name not in names:
            return Recipe((*self.steps, step))
        return Recipe(tuple(step if own.name == step.name else own for own in self.steps))

    def at(self, level: Level) -> "Recipe":
        """The same parts, all held at ``level``."""
        return Recipe(tuple(replace(step, level=level) for step in self.steps))

    def to_dict(self) -> dict[str, Any]:
        """JSON values; `from_dict` reads them."""
        return {
            "steps": [
                {"part": step.name, "how": step.level.how}
                | ({"value": step.level.value} if step.level.how in ("set", "scale") else {})
                for step in self.steps
            ]
        }

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> "Recipe":
        """What `to_dict` gave; ValueError says what is wrong with anything else."""
        steps = told.get("steps")
        if not isinstance(steps, list):
            raise ValueError(f"a recipe is a list under 'steps'; got {sorted(told)}")
        return cls(tuple(map(_from_dict, cast("list[Any]", steps))))


def _from_dict(told: Any) -> Step:
    if not isinstance(told, Mapping) or not isinstance(
        (told := cast("Mapping[str, Any]", told)).get("part"), str
    ):
        raise ValueError(
            f"a step of a recipe is {told!r}; expected part, how and, for set and scale, value"
        )
    how, value = told.get("how", "mean"), told.get("value", 0.0)
    if how not in HOWS:
        raise ValueError(f"the step {told!r} has how {how!r}; expected one of {', '.join(HOWS)}")
    if how in ("set", "scale") and "value" not in told:
        raise ValueError(f"the step {told!r} lacks its value; expected a number")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"the step {told!r} has the value {value!r}; expected a number")
    return replace(Step.parse(told["part"]), level=Level(how, float(value)))


def _level(text: str, sign: str | None, value: str | None) -> Level:
    if sign is None or value is None:
        return MEAN
    if sign == "=" and value in ("mean", "zero"):
        return MEAN if value == "mean" else ZERO
    try:
        return Level("set" if sign == "=" else "scale", float(value))
    except ValueError as error:
        raise ValueError(f"not a step of a recipe: {text!r}; {_EXPECTED}") from error
