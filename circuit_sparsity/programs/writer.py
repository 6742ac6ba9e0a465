"""The pen that templates write with: random choices, names, literals, and what is in scope."""

import random
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Literal, TypeVar

from circuit_sparsity.programs.syllables import invented_name
from circuit_sparsity.tasks.words import (
    READ_STEMS,
    TRAIN_NAMES,
    TRAIN_VERBS,
    TRAIN_WORDS,
    WRITE_STEMS,
)

T = TypeVar("T")
Lines = list[str]
Template = Callable[["Writer"], Lines]
Kind = Literal["number", "text", "list", "nested", "set", "dict", "flag", "item"]

_NUMBER_NAMES = ("total", "count", "x", "y", "n", "size", "start", "maximum", "best", "k")
_TEXT_NAMES = ("text", "name", "message", "line", "result", "current", "word", "output", "s")
_LIST_NAMES = ("items", "values", "data", "numbers", "result", "results", "lines", "words", "queue")
_NESTED_NAMES = ("matrix", "rows", "grid", "values", "data", "table", "pairs_of", "board")
_SET_NAMES = ("seen", "visited", "current", "unique", "found", "chosen", "done", "used")
_DICT_NAMES = ("data", "result", "counts", "lookup", "mapping", "cache", "scores_by", "config")
_FLAG_NAMES = ("found", "ok", "done", "ready", "is_valid", "changed", "active", "enabled")
_ITEM_NAMES = ("item", "i", "x", "value", "line", "word", "num", "name", "row")
_USUAL: dict[Kind, tuple[str, ...]] = {
    "number": _NUMBER_NAMES,
    "text": _TEXT_NAMES,
    "list": _LIST_NAMES,
    "nested": _NESTED_NAMES,
    "set": _SET_NAMES,
    "dict": _DICT_NAMES,
    "flag": _FLAG_NAMES,
    "item": _ITEM_NAMES,
}
_SHORT = ("a", "b", "c", "d", "e", "i", "j", "k", "m", "n", "p", "q", "t", "u", "v", "x", "y", "z")
_ENDINGS = ("", "", "", "", "!", "?", ".", "...", ":", ": ", " ", ",", ";", " -", ")", "]", "\\n")
_SEPARATORS = (",", ", ", " ", "-", "", ":", ";", "/", "\\n", "|", " - ", "_")


LIST_NAMES = 0.07  # share of the lists whose elements are names


class Writer:
    """Random choices of one document, and the variables its programs have made so far."""

    def __init__(self, rng: random.Random, list_names: float = LIST_NAMES) -> None:
        self.random = rng.random
        self.list_names = list_names
        self._nouns: list[str] = []
        self._scopes: list[dict[str, Kind]] = [{}]
        # A document is written by one hand: habits hold throughout it.
        self.tight_equals = self.random() < 0.08
        self.long_lists = self.random() < 0.25

    # Choices

    def pick(self, choices: Sequence[T]) -> T:
        """One of `choices`, all equally likely."""
        return choices[int(self.random() * len(choices))]

    def chance(self, probability: float) -> bool:
        return self.random() < probability

    def between(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        return low + int(self.random() * (high - low + 1))

    # Scope

    @contextmanager
    def scope(self) -> Generator[None, None, None]:
        """Inside, as in a function's body, the variables outside are not used."""
        self._scopes.append({})
        yield
        self._scopes.pop()

    def declare(self, name: str, kind: Kind) -> str:
        """Note that `name` now holds a value of `kind`; gives the name back."""
        self._scopes[-1][name] = kind
        return name

    def known(self, *kinds: Kind) -> str | None:
        """A variable in scope of one of the kinds, None when there is none."""
        names = [name for name, kind in self._scopes[-1].items() if kind in kinds]
        return self.pick(names) if names else None

    def kind_of(self, name: str) -> Kind | None:
        return self._scopes[-1].get(name)

    def anything(self) -> str | None:
        """Any variable in scope."""
        names = list(self._scopes[-1])
        return self.pick(names) if names else None

    def some(self) -> str:
        """A variable to read: mostly one in scope, at times any name."""
        name = self.anything() if self.random() < 0.75 else None
        return name or self.variable()

    # Names

    def noun(self) -> str:
        """A singular name: one of this document's, a new one of one or two words, or invented."""
        roll = self.random()
        if roll < 0.2 and self._nouns:
            return self.pick(self._nouns)
        if roll < 0.72:
            name = self.pick(TRAIN_NAMES)
        elif roll < 0.9:
            name = invented_name(self.random)
        else:
            name = f"{self.pick(TRAIN_NAMES)}_{self.pick(TRAIN_NAMES)}"
        self._nouns.append(name)
        return name

    def plural(self) -> str:
        return plural_of(self.noun())

    def short(self) -> str:
        """A variable of one letter."""
        return self.pick(_SHORT)

    def variable(self) -> str:
        """Any name for a variable."""
        return self.short() if self.chance(0.3) else self.noun()

    def distinct(self, n: int, make: Callable[[], str] | None = None) -> list[str]:
        """`n` different names, from `make` or `variable`."""
        names: dict[str, None] = {}
        while len(names) < n:
            names[(make or self.variable)()] = None
        return list(names)

    def name_for(self, kind: Kind) -> str:
        """A name that suits a value of `kind`, noted as being in scope."""
        roll = self.random()
        if roll < 0.35:
            name = self.pick(_USUAL[kind])
        elif kind in ("list", "set", "dict", "nested"):
            name = self.plural() if roll < 0.8 else self.noun()
        else:
            name = self.variable()
        return self.declare(name, kind)

    def function_name(self) -> str:
        roll = self.random()
        if roll < 0.5:
            return f"{self.pick(TRAIN_VERBS)}_{self.pick(TRAIN_NAMES)}"
        if roll < 0.65:
            return f"{self.pick(TRAIN_VERBS)}_{plural_of(self.pick(TRAIN_NAMES))}"
        if roll < 0.9:
            return self.pick(TRAIN_VERBS)
        return self.pick(("f", "g", "func", "main", "process", "helper", "solve", "solve_all"))

    def class_name(self) -> str:
        words = [self.pick(TRAIN_NAMES) for _ in range(1 if self.chance(0.6) else 2)]
        return "".join(word.capitalize() for word in words)

    def constant_name(self) -> str:
        return self.noun().upper()

    # Literals

    def number(self) -> str:
        """A number; small ones are more likely, a few are negative or have a point."""
        roll = self.random()
        if roll < 0.55:
            return str(self.between(0, 12))
        if roll < 0.85:
            return str(self.between(0, 99))
        if roll < 0.94:
            return str(self.between(100, 2000))
        if roll < 0.97:
            return str(-self.between(1, 20))
        return f"{self.between(0, 20)}.{self.between(0, 99)}"

    def equals(self) -> str:
        """The sign of an assignment with the blanks around it."""
        if self.tight_equals:
            return self.pick(("=", " =", "= "))
        return " = "

    def quote(self) -> str:
        return "'" if self.random() < 0.5 else '"'

    def words(self, low: int = 1, high: int = 5) -> str:
        """Words as inside a string or comment, without quotes or backslashes."""
        n = self.between(low, high)
        picked = [
            self.pick(TRAIN_NAMES) if self.random() < 0.35 else self.pick(TRAIN_WORDS)
            for _ in range(n)
        ]
        if self.random() < 0.4:
            picked[0] = picked[0].capitalize()
        if self.random() < 0.08:
            picked[self.between(0, n - 1)] = self.number()
        return " ".join(picked)

    def contents(self, quote: str, low: int = 1, high: int = 5) -> str:
        """The inside of a string closed by `quote`, at times with the other quote in it."""
        text = self.words(low, high)
        roll = self.random()
        if roll < 0.06:
            other = '"' if quote == "'" else "'"
            text = self._with_other_quote(text, other)
        elif roll < 0.14:
            text = text.replace(" ", self.pick((", ", "_", "-", ". ", "/", ": ", "\\t")), 1)
        return text + self.pick(_ENDINGS)

    def _with_other_quote(self, text: str, other: str) -> str:
        if other == '"':
            return f'{text} "{self.pick(TRAIN_WORDS)}"'
        return text + self.pick(("'s", "'s done", " isn't ready", " don't stop", " it's", " can't"))

    def string(self, low: int = 1, high: int = 5) -> str:
        """A string literal; each draws its quote anew."""
        quote = self.quote()
        return f"{quote}{self.contents(quote, low, high)}{quote}"

    def key(self) -> str:
        """A short string literal of one plain word."""
        quote = self.quote()
        word = self.pick(TRAIN_NAMES) if self.chance(0.6) else self.pick(TRAIN_WORDS)
        return f"{quote}{word}{quote}"

    def separator(self) -> str:
        quote = self.quote()
        return f"{quote}{self.pick(_SEPARATORS)}{quote}"

    def file_name(self, mode: Literal["r", "w"]) -> str:
        """A file name literal that tells whether it is read or written."""
        stem = self.pick(READ_STEMS if mode == "r" else WRITE_STEMS)
        roll = self.random()
        if roll < 0.3:
            stem = f"{self.noun()}_{stem}"
        elif roll < 0.6:
            stem = f"{stem}_{self.noun()}"
        elif roll < 0.68:
            stem = f"{stem}{self.between(1, 9)}"
        folder = f"{self.plural()}/" if self.chance(0.1) else ""
        quote = self.quote()
        ending = self.pick(("txt", "txt", "csv", "csv", "json", "json", "log", "log", "md"))
        return f"{quote}{folder}{stem}.{ending}{quote}"

    def telling_open(self) -> str:
        """A call of `open` on a file name that tells the mode, both modes equally often."""
        mode: Literal["r", "w"] = "r" if self.chance(0.5) else "w"
        quote = self.quote()
        return f"open({self.file_name(mode)}, {quote}{mode}{quote})"

    def atom(self) -> str:
        """A number, a string or the like."""
        roll = self.random()
        if roll < 0.5:
            return self.number()
        if roll < 0.85:
            return self.key()
        return self.pick(("True", "False", "None"))

    def comment(self) -> str:
        return f"# {self.words(2, 6)}"

    def maybe_comment(self, probability: float = 0.12) -> Lines:
        return [self.comment()] if self.chance(probability) else []

    def docstring(self) -> str:
        fence = '"""' if self.chance(0.9) else "'''"
        return f"{fence}{self.words(2, 7).capitalize()}.{fence}"


def plural_of(noun: str) -> str:
    """The plural of a name: `box` gives `boxes`.

    >>> [plural_of(noun) for noun in ("tree", "bench", "city", "key")]
    ['trees', 'benches', 'cities', 'keys']
    """
    if noun.endswith(("s", "x", "ch", "sh")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"


def indent(lines: Sequence[str], depth: int = 1) -> Lines:
    """The lines, each four spaces a level further in; empty ones stay empty."""
    blank = "    " * depth
    return [blank + line if line else line for line in lines]


def block(head: str, body: Sequence[str]) -> Lines:
    """A head that ends in a colon and its indented body; `pass` where that has no statement."""
    is_empty = all(not line or line.lstrip().startswith("#") for line in body)
    return [head, *indent([*body, "pass"] if is_empty else body)]
