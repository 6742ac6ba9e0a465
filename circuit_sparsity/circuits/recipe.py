"""``Recipe``: what is changed in a circuit, in which order, and how.

A step names a node, or an edge as ``source>target``, and says what it is held at:

    0.attn.k:210          its mean over the pretraining text
    0.attn.k:210=zero     zero
    0.attn.k:210=-1.5     that value, at every position
    0.attn.k:210*2        what it is, times two
    0.attn.k:210=pair     what it is in the other prompt of the pair
    0.attn.k:210=resample:3    what it is in another prompt of the task, drawn with seed 3
    0.attn.k:210=prompt:'x%20='    what it is in that prompt, written as in addresses

``@`` after the name says at which tokens, as `positions` tells; without it at every one.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, cast, get_args
from urllib.parse import quote, unquote

from circuit_sparsity.circuits.positions import ALL, Positions
from circuit_sparsity.core.names import Node

Constant = Literal["mean", "zero", "set", "scale"]
Source = Literal["pair", "resample", "prompt"]  # a run over another prompt
How = Literal[Constant, Source]
HOWS: tuple[Constant, ...] = get_args(Constant)
SOURCES: tuple[Source, ...] = get_args(Source)
_WRITTEN = re.compile(
    r"(?P<name>[^=*@]+)(?:@(?P<at>'[^']*'|[^=*@']+))?(?:(?P<sign>[=*])(?P<value>.+))?"
)
_EXPECTED = (
    "expected NODE or SOURCE>TARGET, then @POSITION or nothing (every token), then nothing (its "
    "mean), =zero, =NUMBER (set to it), *NUMBER (scaled by it), =pair, =resample:SEED or "
    "=prompt:'TEXT', such as 3.mlp.post_act:180@last=pair"
)


@dataclass(frozen=True)
class Level:
    """What a changed part is held at: a constant, or what it is in a run over another prompt.

    ``value`` is the number of "set" and "scale" and the seed of "resample", else 0; ``text`` is
    the prompt of "prompt".
    """

    how: How = "mean"
    value: float = 0.0
    text: str = ""

    def __post_init__(self) -> None:
        if self.how not in (*HOWS, *SOURCES):
            known = ", ".join((*HOWS, *SOURCES))
            raise ValueError(f"a part is held at {self.how!r}; expected one of {known}")
        if not math.isfinite(self.value):
            raise ValueError(f"{self.how} got {self.value}; expected a finite number")
        if self.how == "resample" and (self.value < 0 or self.value % 1):
            raise ValueError(f"the seed of resample is {self.value}; expected a whole number")
        if (self.how == "prompt") != bool(self.text):
            raise ValueError(
                f"a part is held at {self.how!r} with the text {self.text!r}; expected a text for "
                "'prompt' and for nothing else"
            )
        if self.how not in ("set", "scale", "resample"):
            object.__setattr__(self, "value", 0.0)

    @property
    def is_constant(self) -> bool:
        """Whether no other prompt has to run for it."""
        return self.how in HOWS

    @property
    def in_words(self) -> str:
        """
        >>> Level("set", 0.5).in_words, Level("scale", 2.0).in_words, Level().in_words
        ('set to 0.5', 'scaled by 2', 'held at its mean')
        """
        return {
            "mean": "held at its mean",
            "zero": "held at zero",
            "set": f"set to {self.value:g}",
            "scale": f"scaled by {self.value:g}",
            "pair": "patched from the pair's other prompt",
            "resample": f"patched from another prompt of the task, seed {self.value:g}",
            "prompt": f"patched from the prompt {self.text!r}",
        }[self.how]

    @property
    def suffix(self) -> str:
        """What follows a part's name when a step is written."""
        number = repr(float(self.value)).removesuffix(".0")
        return {
            "mean": "",
            "zero": "=zero",
            "set": f"={number}",
            "scale": f"*{number}",
            "pair": "=pair",
            "resample": f"=resample:{number}",
            "prompt": f"=prompt:'{quote(self.text, safe='')}'",
        }[self.how]


MEAN, ZERO = Level("mean"), Level("zero")
_WITH_VALUE = ("set", "scale", "resample")


@dataclass(frozen=True)
class Step:
    """One node, or the one edge from ``source`` to ``target``, what it is held at, and where.

    An edge at some tokens: its target sees its source at that level at those tokens of the source.
    """

    source: Node
    target: Node | None = None
    level: Level = MEAN
    positions: Positions = ALL

    @classmethod
    def parse(cls, text: str) -> "Step":
        """The step that is written so; ValueError says how steps are written.

        >>> str(Step.parse("0.attn.act_in:22>0.attn.k:210*0.5"))
        '0.attn.act_in:22>0.attn.k:210*0.5'
        >>> Step.parse("0.attn.k:210@last=pair").positions
        Positions(kind='last', first=0, end=0, token='')
        """
        found = _WRITTEN.fullmatch(text.strip())
        if found is None:
            raise ValueError(f"not a step of a recipe: {text!r}; {_EXPECTED}")
        source, arrow, target = found["name"].partition(">")
        ends = Node.parse(source.strip()), Node.parse(target.strip()) if arrow else None
        at = ALL if found["at"] is None else Positions.parse(found["at"].strip())
        return cls(*ends, _level(text, found["sign"], found["value"]), at)

    @property
    def name(self) -> str:
        """Of the node or edge."""
        return str(self.source) if self.target is None else f"{self.source}>{self.target}"

    @property
    def place(self) -> str:
        """The part's name, and its positions unless it is changed at every one."""
        return f"{self.name}{self.positions}"

    @property
    def is_constant(self) -> bool:
        """Whether it holds its part at one level at every token of any prompt."""
        return self.positions == ALL and self.level.is_constant

    def __str__(self) -> str:
        return self.place + self.level.suffix


@dataclass(frozen=True)
class Recipe:
    """Steps in the order in which they were made; no part twice at the same positions."""

    steps: tuple[Step, ...] = ()

    def __post_init__(self) -> None:
        names = [step.place for step in self.steps]
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
        """This recipe and ``step``: in place of the part's own step at those positions if any."""
        names = [own.place for own in self.steps]
        if step.place not in names:
            return Recipe((*self.steps, step))
        return Recipe(tuple(step if own.place == step.place else own for own in self.steps))

    def at(self, level: Level) -> "Recipe":
        """The same parts, all held at ``level``."""
        return Recipe(tuple(replace(step, level=level) for step in self.steps))

    def to_dict(self) -> dict[str, Any]:
        """JSON values; `from_dict` reads them."""
        return {
            "steps": [
                {"part": step.place, "how": step.level.how}
                | ({"value": step.level.value} if step.level.how in _WITH_VALUE else {})
                | ({"text": step.level.text} if step.level.text else {})
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
    how, value, text = told.get("how", "mean"), told.get("value", 0.0), told.get("text", "")
    if how not in (*HOWS, *SOURCES):
        known = ", ".join((*HOWS, *SOURCES))
        raise ValueError(f"the step {told!r} has how {how!r}; expected one of {known}")
    if how in ("set", "scale") and "value" not in told:
        raise ValueError(f"the step {told!r} lacks its value; expected a number")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"the step {told!r} has the value {value!r}; expected a number")
    if not isinstance(text, str):
        raise ValueError(f"the step {told!r} has the text {text!r}; expected a string")
    return replace(Step.parse(told["part"]), level=Level(how, float(value), text))


def _level(text: str, sign: str | None, value: str | None) -> Level:
    if sign is None or value is None:
        return MEAN
    if sign == "=" and value in ("mean", "zero", "pair"):
        return Level(value)
    kind, colon, rest = value.partition(":")
    if sign == "=" and kind == "prompt" and len(rest) > 2 and rest[0] == rest[-1] == "'":
        return Level("prompt", text=unquote(rest[1:-1]))
    if sign == "=" and kind == "resample" and (rest.isdecimal() if colon else not rest):
        return Level("resample", float(rest or 0))
    try:
        return Level("set" if sign == "=" else "scale", float(value))
    except ValueError as error:
        raise ValueError(f"not a step of a recipe: {text!r}; {_EXPECTED}") from error
