"""Tasks of one's own: pairs from a small file, or from a Python function.

A file is CSV with a header line, or JSONL (one object a line), with the fields

- `prompt`: the text before the question;
- `right`, `wrong`: how it goes on, and how it does not;
- `counterpart`: the prompt for which it is the other way round.

    prompt,right,wrong,counterpart
    for item, in,:,while item

Fields are taken as they are, blanks at their ends included. In CSV a line break stands inside a
quoted field, in JSONL it is `\\n`.
"""

import csv
import io
import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from circuit_sparsity.tasks.task import Pair, Prompt, TooFewPairs, check_split, distinct

FIELDS = ("prompt", "right", "wrong", "counterpart")
# Of every four pairs of a file, in an order shuffled once, two are for pruning.
_SHARES = {"prune": (0, 1), "validation": (2,), "test": (3,)}
_FEWEST = 4


def read_pairs(source: Path | str) -> tuple[Pair, ...]:
    """The pairs of a file (given as a Path) or of a text in its format, in their order.

    >>> read_pairs("prompt,right,wrong,counterpart\\nfor item, in,:,while item\\n")[0].negative
    Prompt(text='while item', right=':', wrong=' in')

    Raises FileNotFoundError, and ValueError that names the line when one cannot be read, lacks a
    field, asks nothing, or repeats an earlier one.
    """
    where = str(source) if isinstance(source, Path) else "the text"
    text = _read(source) if isinstance(source, Path) else source
    is_jsonl = text.lstrip().startswith("{")
    rows = _jsonl_rows(text, where) if is_jsonl else _csv_rows(text, where)
    first_line: dict[Pair, int] = {}
    for line, row in rows:
        pair = _pair(row, f"{where}, line {line}")
        if pair in first_line:
            raise ValueError(
                f"{where}, line {line}: the same pair as in line {first_line[pair]}. Pairs are "
                "divided among pruning and testing, so each may be there only once; remove it."
            )
        first_line[pair] = line
    if not first_line:
        raise ValueError(f"{where}: no pairs. Expected at least one line with {_listed(FIELDS)}.")
    return tuple(first_line)


def pairs_as_jsonl(pairs: Iterable[Pair]) -> str:
    """Pairs that ``read_pairs`` read, as JSONL that it reads again.

    >>> pair = Pair(Prompt("for item", " in", ":"), Prompt("while item", ":", " in"))
    >>> read_pairs(pairs_as_jsonl([pair])) == (pair,)
    True
    """
    rows = (
        (pair.positive.text, pair.positive.right, pair.positive.wrong, pair.negative.text)
        for pair in pairs
    )
    return "".join(f"{json.dumps(dict(zip(FIELDS, row, strict=True)))}\n" for row in rows)


@dataclass(frozen=True)
class OwnTask:
    """A task from a fixed set of pairs: half for pruning, a quarter each to validate and test.

    Raises ValueError for fewer than four pairs.
    """

    name: str
    summary: str
    all_pairs: tuple[Pair, ...]

    def __post_init__(self) -> None:
        if len(self.all_pairs) < _FEWEST:
            raise ValueError(
                f"Task {self.name} has {len(self.all_pairs)} pairs; expected at least {_FEWEST}, "
                "so that pruning, validation and testing have some each. Add pairs."
            )

    def pairs(self, split: str, n: int, seed: int = 0, templates: str = "all") -> tuple[Pair, ...]:
        """`n` pairs of one split, in an order that hangs on the seed; `templates` means nothing.

        Raises ValueError for an unknown split, TooFewPairs when the split has fewer.
        """
        check_split(split)
        order = random.Random(0).sample(self.all_pairs, len(self.all_pairs))
        own = [pair for i, pair in enumerate(order) if i % _FEWEST in _SHARES[split]]
        if n > len(own):
            raise TooFewPairs(self.name, split, n, len(own))
        return tuple(random.Random(seed).sample(own, len(own))[:n])


@dataclass(frozen=True)
class FunctionTask:
    """A task from a function of a random generator and a split that makes one pair.

    The function draws all its randomness from the generator, and what it makes for one split it
    makes for no other: its names and contents hang on the split.

    >>> NAMES = {"prune": ("cat", "dog"), "validation": ("owl", "bee"), "test": ("ant", "elk")}
    >>> def comparison(rng, split):
    ...     name, number = rng.choice(NAMES[split]), rng.randint(0, 99)
    ...     asked = Prompt(f"if {name}", f" == {number}:", f" = {number}:")
    ...     told = Prompt(f"{name}", f" = {number}:", f" == {number}:")
    ...     return Pair(asked, told)
    >>> task = FunctionTask("comparison", "Compare or assign.", comparison)
    >>> len(task.pairs("prune", 64))
    64
    """

    name: str
    summary: str
    make: Callable[[random.Random, str], Pair]

    def pairs(self, split: str, n: int, seed: int = 0, templates: str = "all") -> tuple[Pair, ...]:
        """`n` different pairs of one split; `templates` means nothing.

        Raises ValueError for an unknown split, TooFewPairs when the function repeats itself.
        """
        check_split(split)
        rng = random.Random(f"{self.name}/{split}/{seed}")
        made = distinct(lambda: self.make(rng, split), n)
        if len(made) < n:
            raise TooFewPairs(self.name, split, n, len(made))
        return tuple(made)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"There is no file {path}. Give the path of a CSV or JSONL file."
        ) from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text ({error}). Save it as UTF-8.") from error


def _csv_rows(text: str, where: str) -> Iterator[tuple[int, Mapping[str, object]]]:
    """Each record with the number of its first line."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: Sequence[str] | None = None
    line = 1
    try:
        for record in reader:
            if record and header is None:
                header = record
                _check_fields(header, f"{where}, line {line}")
            elif record and header is not None:
                if len(record) != len(header):
                    raise ValueError(
                        f"{where}, line {line}: {len(record)} fields; expected {len(header)} "
                        f"({_listed(header)}). Put a field with a comma or a line break in quotes."
                    )
                yield line, dict(zip(header, record, strict=True))
            line = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"{where}, line {line}: no CSV ({error}). Close the quotes.") from error


def _jsonl_rows(text: str, where: str) -> Iterator[tuple[int, Mapping[str, object]]]:
    for line, content in enumerate(text.split("\n"), start=1):
        if not content.strip():
            continue
        try:
            row = json.loads(content)
        except json.JSONDecodeError as error:
            raise ValueError(
                f"{where}, line {line}: no JSON ({error}). Write one object a line."
            ) from error
        if not isinstance(row, dict):
            raise ValueError(
                f"{where}, line {line}: a {type(row).__name__}; expected an object with "
                f"{_listed(FIELDS)}."
            )
        _check_fields(row, f"{where}, line {line}")
        yield line, row


def _check_fields(given: Iterable[str], at: str) -> None:
    given = list(given)
    if sorted(given) != sorted(FIELDS):
        raise ValueError(f"{at}: the fields are {_listed(given)}; expected {_listed(FIELDS)}.")


def _pair(row: Mapping[str, object], at: str) -> Pair:
    for field, value in row.items():
        if not isinstance(value, str) or not value:
            raise ValueError(f"{at}: {field} is {value!r}; expected text. Fill it in.")
    prompt, right, wrong, counterpart = (str(row[field]) for field in FIELDS)
    if right == wrong or prompt == counterpart:
        same = "right and wrong" if right == wrong else "prompt and counterpart"
        raise ValueError(f"{at}: {same} are the same, so there is no question. Make them differ.")
    return Pair(Prompt(prompt, right, wrong), Prompt(counterpart, wrong, right))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
