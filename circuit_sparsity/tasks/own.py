"""Tasks of one's own: pairs from a small file, or from a Python function.

A file is CSV with a header line, JSONL (one object a line) or a JSON array of objects, with the
fields

- `prompt`: the text before the question;
- `right`, `wrong`: how it goes on, and how it does not;
- `counterpart`: the prompt for which it is the other way round.

    prompt,right,wrong,counterpart
    for item, in,:,while item

Fields are taken as they are, blanks at their ends included. In CSV a line break stands inside a
quoted field, in JSONL it is `\\n`. Commas, semicolons, tabs and vertical bars separate; the names
of columns may be in capitals; other columns and empty lines are left out.
"""

import csv
import io
import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from circuit_sparsity.tasks.task import Pair, Prompt, TooFewPairs, check_split, distinct

FIELDS = ("prompt", "right", "wrong", "counterpart")
SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a vertical bar"}
LARGEST = 64 << 20  # bytes of a file of pairs
# Of every four groups of a file, in an order shuffled once, two are for pruning.
_SHARES = {"prune": (0, 1), "validation": (2,), "test": (3,)}
_FEWEST = 4
_EAP_IG = {"clean", "corrupted", "correct_idx", "incorrect_idx"}

Row = tuple[str, Mapping[str, object]]  # where it stands, in words; its fields


def read_pairs(source: Path | str) -> tuple[Pair, ...]:
    """The pairs of a file (given as a Path) or of a text in its format, in their order.

    >>> read_pairs("prompt,right,wrong,counterpart\\nfor item, in,:,while item\\n")[0].negative
    Prompt(text='while item', right=':', wrong=' in')

    Raises FileNotFoundError, and ValueError that names the line when one cannot be read, lacks a
    field, asks nothing, repeats an earlier one, or contradicts it.
    """
    where = str(source) if isinstance(source, Path) else "the text"
    text = (_read(source) if isinstance(source, Path) else source).removeprefix("\ufeff")
    first = text.lstrip()[:1]
    rows = {"{": _jsonl_rows, "[": _json_rows}.get(first, _csv_rows)(text, where)
    place_of: dict[Pair, str] = {}
    for place, row in rows:
        pair = _pair(row, f"{where}, {place}")
        if pair in place_of:
            raise ValueError(
                f"{where}, {place}: the same pair as in {place_of[pair]}. Pairs are divided among "
                "pruning and testing, so each may be there only once; remove it."
            )
        place_of[pair] = place
    if not place_of:
        raise ValueError(f"{where}: no pairs. Expected at least one line with {_listed(FIELDS)}.")
    _check_answers(place_of, where)
    return tuple(place_of)


def _check_answers(place_of: Mapping[Pair, str], where: str) -> None:
    """Raise ValueError where what is right for a prompt in one row is wrong for it in another."""
    known: dict[tuple[str, str], tuple[bool, Pair]] = {}
    for pair in place_of:
        for prompt in (pair.positive, pair.negative):
            for answer, is_right in ((prompt.right, True), (prompt.wrong, False)):
                told, earlier = known.setdefault((prompt.text, answer), (is_right, pair))
                if told != is_right:
                    rows = "; ".join(f"{place_of[one]}: {_shown(one)}" for one in (earlier, pair))
                    raise ValueError(
                        f"{where}: after {_short(prompt.text)} the answer {answer!r} is right in "
                        f"one row and wrong in the other. {rows}. Keep the one that is meant."
                    )


def _shown(pair: Pair) -> str:
    """A pair as its row.

    >>> _shown(Pair(Prompt("a", " in", ":"), Prompt("b", ":", " in")))
    "prompt 'a', right ' in', wrong ':', counterpart 'b'"
    """
    row = (pair.positive.text, pair.positive.right, pair.positive.wrong, pair.negative.text)
    return ", ".join(f"{name} {_short(text)}" for name, text in zip(FIELDS, row, strict=True))


def _short(text: str, limit: int = 60) -> str:
    return repr(text if len(text) <= limit else f"...{text[-limit:]}")


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

    What is divided are groups: pairs that share a prompt, such as a pair and its mirror image, are
    in one split. Raises ValueError for fewer than four groups.
    """

    name: str
    summary: str
    all_pairs: tuple[Pair, ...]

    def __post_init__(self) -> None:
        n_groups = len(self.groups)
        if n_groups < _FEWEST:
            shared = f" in {n_groups} groups that share a prompt"
            raise ValueError(
                f"Task {self.name} has {len(self.all_pairs)} pairs"
                f"{shared if n_groups < len(self.all_pairs) else ''}; expected at least {_FEWEST}, "
                "so that pruning, validation and testing have some each. Add pairs of other "
                "prompts."
            )

    @cached_property
    def groups(self) -> tuple[tuple[Pair, ...], ...]:
        """The pairs, those together that share a prompt, directly or by way of others."""
        above: dict[str, str] = {}  # a prompt, and one of its group nearer to the group's root

        def root(text: str) -> str:
            while above.setdefault(text, text) != text:
                above[text] = above[above[text]]
                text = above[text]
            return text

        for pair in self.all_pairs:
            above[root(pair.negative.text)] = root(pair.positive.text)
        gathered: dict[str, list[Pair]] = {}
        for pair in self.all_pairs:
            gathered.setdefault(root(pair.positive.text), []).append(pair)
        return tuple(tuple(group) for group in gathered.values())

    def pairs(self, split: str, n: int, seed: int = 0, templates: str = "all") -> tuple[Pair, ...]:
        """`n` pairs of one split, in an order that hangs on the seed; `templates` means nothing.

        Raises ValueError for an unknown split, TooFewPairs when the split has fewer.
        """
        check_split(split)
        order = random.Random(0).sample(self.groups, len(self.groups))
        chosen = [group for i, group in enumerate(order) if i % _FEWEST in _SHARES[split]]
        own = [pair for group in chosen for pair in group]
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
        with open(path, "rb") as file:
            data = file.read(LARGEST + 1)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"There is no file {path}. Give the path of a CSV or JSONL file."
        ) from error
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}). Give another file.") from error
    if len(data) > LARGEST:
        raise ValueError(f"{path} is longer than {LARGEST:,} bytes. Give a file of fewer pairs.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text ({error}). Save it as UTF-8.") from error


def _csv_rows(text: str, where: str) -> Iterator[Row]:
    """Each record with the number of its first line."""
    separator, skipped = _separator(text, where)
    rest = "".join(text.splitlines(keepends=True)[skipped:])
    reader = csv.reader(io.StringIO(rest, newline=""), strict=True, delimiter=separator)
    header: Sequence[str] | None = None
    line = 1 + skipped
    try:
        for record in reader:
            if any(field.strip() for field in record):
                if header is None:
                    header = _header(record, f"{where}, line {line}", SEPARATORS[separator])
                else:
                    at, name = f"{where}, line {line}", SEPARATORS[separator]
                    yield f"line {line}", _fields(record, header, at, name)
            line = reader.line_num + 1 + skipped
    except csv.Error as error:
        raise ValueError(f"{where}, line {line}: no CSV ({error}). Close the quotes.") from error


def _separator(text: str, where: str) -> tuple[str, int]:
    """What separates the columns, and how many lines come before the header.

    A spreadsheet's first line may say it (`sep=;`); else it is what makes the most of the names of
    the first line that is not empty.
    """
    lines = text.splitlines()
    skipped = next((i for i, line in enumerate(lines) if line.strip()), 0)
    first = lines[skipped].strip() if lines else ""
    if first.lower().startswith("sep="):
        if first[4:] not in SEPARATORS and first[4:] != "":
            raise ValueError(
                f"{where}, line {skipped + 1}: columns separated by {first[4:]!r}; expected "
                f"{', '.join(SEPARATORS.values())}. Save it with one of them."
            )
        return first[4:] or "\t", skipped + 1

    def names_found(separator: str) -> int:
        names = {_plain(name) for name in first.replace('"', "").split(separator)}
        return len(names & ({*FIELDS} | _EAP_IG))

    return max(SEPARATORS, key=names_found), skipped


def _plain(name: str) -> str:
    """
    >>> _plain(" Prompt ")
    'prompt'
    """
    return name.strip().casefold()


def _header(record: Sequence[str], at: str, separator: str) -> list[str]:
    names = [_plain(name) for name in record]
    _check_fields(names, at, f" (separated by {separator})")
    return names


def _fields(
    record: Sequence[str], header: Sequence[str], at: str, separator: str
) -> Mapping[str, object]:
    """The record's fields by name; empty ones beyond the header are a separator too many."""
    beyond = record[len(header) :]
    if len(record) < len(header) and not any(header[len(record) :]):
        record = [*record, *([""] * (len(header) - len(record)))]
    if len(record) < len(header) or any(beyond):
        raise ValueError(
            f"{at}: {len(record)} fields; expected {len(header)} ({_listed(header)}). Put a field "
            f"with {separator} or a line break in quotes."
        )
    return dict(zip(header, record, strict=False))


def _jsonl_rows(text: str, where: str) -> Iterator[Row]:
    for line, content in enumerate(text.split("\n"), start=1):
        if content.strip():
            value = _parsed(content, f"{where}, line {line}", "Write one object a line.")
            yield f"line {line}", _object(value, f"{where}, line {line}")


def _json_rows(text: str, where: str) -> Iterator[Row]:
    for number, value in enumerate(_parsed(text, where, "Close the array."), start=1):
        yield f"item {number}", _object(value, f"{where}, item {number}")


def _parsed(text: str, at: str, remedy: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{at}: no JSON ({error}). {remedy}") from error


def _object(value: object, at: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise ValueError(
            f"{at}: a {type(value).__name__}; expected an object with {_listed(FIELDS)}."
        )
    row = cast(dict[str, object], value)
    _check_fields([_plain(name) for name in row], at)
    return {_plain(name): one for name, one in row.items()}


def _check_fields(given: Sequence[str], at: str, how: str = "") -> None:
    """Raise ValueError unless every field is there, once."""
    named = [name for name in given if name]
    twice = [name for name in FIELDS if named.count(name) > 1]
    if twice:
        raise ValueError(f"{at}: there are two columns {twice[0]}. Keep the one that is meant.")
    if set(FIELDS) <= set(named):
        return
    if set(named) >= _EAP_IG:
        raise ValueError(
            f"{at}: the columns {_listed(sorted(_EAP_IG))} are those of EAP-IG, whose correct_idx "
            "and incorrect_idx are token ids of a tokenizer that the file does not name; expected "
            f"texts in {_listed(FIELDS)}. Write clean as prompt, corrupted as counterpart, and in "
            "right and wrong the texts of those tokens."
        )
    raise ValueError(f"{at}: the fields are {_listed(named)}{how}; expected {_listed(FIELDS)}.")


def _pair(row: Mapping[str, object], at: str) -> Pair:
    for field in FIELDS:
        value = row[field]
        if not isinstance(value, str) or not value:
            raise ValueError(f"{at}: {field} is {value!r:.80}; expected text. Fill it in.")
    prompt, right, wrong, counterpart = (str(row[field]) for field in FIELDS)
    if right == wrong or prompt == counterpart:
        same = "right and wrong" if right == wrong else "prompt and counterpart"
        raise ValueError(f"{at}: {same} are the same, so there is no question. Make them differ.")
    return Pair(Prompt(prompt, right, wrong), Prompt(counterpart, wrong, right))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
