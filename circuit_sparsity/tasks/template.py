"""Pairs from templates: programs with two alternatives and with places for names and contents.

A template is the text of a program up to the place where the question is asked. In it

- `«for|while»` is the one for the positive prompt and the other for its counterpart;
- a dollar sign, a kind and a digit is a place to fill. The same place holds the same content, and
  no two places of a kind hold the same one.

The kinds: `$n1` a noun, `$N1` the same noun capitalised, `$s1` with a plural -s; `$v1` a verb;
`$w1` a word; `$p1` a phrase of one to four words; `$d1` a number; `$D1` two to six numbers with
commas; `$M1` two to four names with commas; `$R1` and `$W1` what files are called that are read
and written.
"""

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from circuit_sparsity.tasks import words
from circuit_sparsity.tasks.task import Pair, Prompt, Split, TooFewPairs, check_split, distinct

_PLACE = re.compile(r"\$([a-zA-Z])(\d)")
_CHOICE = re.compile(r"«([^|»]*)\|([^»]*)»")


@dataclass(frozen=True)
class WordLists:
    """The names and words one split's places are filled with."""

    nouns: tuple[str, ...]
    words: tuple[str, ...]
    verbs: tuple[str, ...]


WORDS: Mapping[str, WordLists] = {
    "prune": WordLists(words.TRAIN_NAMES, words.TRAIN_WORDS, words.TRAIN_VERBS),
    "validation": WordLists(words.VALIDATION_NAMES, words.VALIDATION_WORDS, words.VALIDATION_VERBS),
    "test": WordLists(words.TEST_NAMES, words.TEST_WORDS, words.TEST_VERBS),
}


@dataclass(frozen=True)
class Template:
    """One structure of a task's prompts, for one split.

    `novel` is how many of the prompt's last lines make up a shape that generated training
    programs do not have: 1 for the line of the question alone, 2 for it together with the line
    before. 0 is a structure that those programs have too. `finish` is what completes the program
    after the right answer; `answers`, where given, replace the task's.
    """

    split: Split
    text: str
    finish: str = ""
    novel: int = 0
    answers: tuple[str, str] | None = None


@dataclass(frozen=True)
class Example:
    """A pair made from a template, and what completes each of its two programs.

    Two examples of one pair are equal.
    """

    pair: Pair
    finish: tuple[str, str] = field(compare=False)
    template: Template = field(compare=False)

    @property
    def programs(self) -> tuple[str, str]:
        """Both prompts with the right answer and the rest of the program."""
        prompts = (self.pair.positive, self.pair.negative)
        first, second = (p.text + p.right + f for p, f in zip(prompts, self.finish, strict=True))
        return first, second


@dataclass(frozen=True)
class TemplateTask:
    """A task whose pairs are made from templates.

    `answers` are the continuations right for the positive and for the negative prompt; they may
    hold alternatives and places like a template's text.
    """

    name: str
    summary: str
    answers: tuple[str, str]
    templates: tuple[Template, ...]

    def pairs(self, split: str, n: int, seed: int = 0, templates: str = "all") -> tuple[Pair, ...]:
        """`n` different pairs of one split, a fixed sequence for each seed.

        Names and contents are those of the split. `templates="all"` are the split's own
        structures, `"novel"` those of them that generated training programs do not have, and
        `"familiar"` all structures of the task that generated programs have too, whichever split
        they belong to.

        Raises ValueError for an unknown split or kind of template and when the split has no such
        template, TooFewPairs when the templates cannot give `n` different pairs.
        """
        return tuple(example.pair for example in self.examples(split, n, seed, templates))

    def examples(
        self, split: str, n: int, seed: int = 0, templates: str = "all"
    ) -> tuple[Example, ...]:
        """The same pairs as `pairs`, with what completes them."""
        rng = random.Random(f"{self.name}/{split}/{seed}/{templates}")
        order = _in_turn(self.select(split, templates), rng)
        made = distinct(lambda: self.example(next(order), WORDS[split], rng), n)
        if len(made) < n:
            raise TooFewPairs(self.name, split, n, len(made))
        return tuple(made)

    def select(self, split: str, templates: str = "all") -> tuple[Template, ...]:
        """The templates that `pairs` uses for a split and a kind of template."""
        check_split(split)
        own = tuple(t for t in self.templates if t.split == split)
        kinds = {
            "all": own,
            "novel": tuple(t for t in own if t.novel),
            "familiar": tuple(t for t in self.templates if not t.novel),
        }
        if templates not in kinds:
            raise ValueError(f"Got templates {templates!r}; expected one of {', '.join(kinds)}.")
        if not kinds[templates]:
            raise ValueError(
                f"Task {self.name} has no {templates} templates in split {split}; "
                "test has novel ones and every split has familiar ones."
            )
        return kinds[templates]

    def example(self, template: Template, lists: WordLists, rng: random.Random) -> Example:
        """One pair of a template, its places filled from `lists`."""
        right, wrong = template.answers or self.answers
        fill = Filler(lists, rng)
        text = fill(template.text.removeprefix("\n"))
        right, wrong, finish = fill(right), fill(wrong), fill(template.finish)
        positive = Prompt(_chosen(text, 0), _chosen(right, 0), _chosen(wrong, 0))
        negative = Prompt(_chosen(text, 1), _chosen(wrong, 1), _chosen(right, 1))
        return Example(Pair(positive, negative), (_chosen(finish, 0), _chosen(finish, 1)), template)


def _in_turn(templates: Sequence[Template], rng: random.Random) -> Iterator[Template]:
    """Every template once, in random order, again and again."""
    while True:
        yield from rng.sample(templates, len(templates))


def _chosen(text: str, which: int) -> str:
    """`text` with one side of every choice."""
    return _CHOICE.sub(lambda match: match[which + 1], text)


class Filler:
    """Fills the places of one prompt, so that a place is the same wherever it stands."""

    def __init__(self, lists: WordLists, rng: random.Random) -> None:
        self._lists = lists
        self._rng = rng
        self._used: set[str] = set()
        self._filled: dict[str, str] = {}

    def __call__(self, text: str) -> str:
        return _PLACE.sub(lambda match: self._place(match[1], match[2]), text)

    def _place(self, kind: str, digit: str) -> str:
        if kind in "Ns":
            noun = self._place("n", digit)
            return noun.capitalize() if kind == "N" else noun + "s"
        if kind not in self._KINDS:
            raise ValueError(
                f"A template has the place ${kind}{digit}; kinds: N s {' '.join(self._KINDS)}"
            )
        key = kind + digit
        if key not in self._filled:
            self._filled[key] = self._KINDS[kind](self)
        return self._filled[key]

    def _new(self, choices: Sequence[str]) -> str:
        """One of `choices` that is nowhere else in the prompt."""
        while (choice := self._rng.choice(choices)) in self._used:
            pass
        self._used.add(choice)
        return choice

    def _noun(self) -> str:
        return self._new(self._lists.nouns)

    def _verb(self) -> str:
        return self._new(self._lists.verbs)

    def _word(self) -> str:
        return self._new(self._lists.words)

    def _phrase(self) -> str:
        n = self._rng.randint(1, 4)
        return " ".join(
            self._noun() if self._rng.random() < 0.35 else self._word() for _ in range(n)
        )

    def _number(self) -> str:
        return str(self._rng.randint(2, 99))

    def _numbers(self) -> str:
        top = self._rng.choice((9, 20, 99))
        return ", ".join(str(self._rng.randint(0, top)) for _ in range(self._rng.randint(2, 6)))

    def _names(self) -> str:
        return ", ".join(self._noun() for _ in range(self._rng.randint(2, 4)))

    def _read_stem(self) -> str:
        return self._rng.choice(words.READ_STEMS)

    def _write_stem(self) -> str:
        return self._rng.choice(words.WRITE_STEMS)

    _KINDS: Mapping[str, Callable[..., str]] = {
        "n": _noun,
        "v": _verb,
        "w": _word,
        "p": _phrase,
        "d": _number,
        "D": _numbers,
        "M": _names,
        "R": _read_stem,
        "W": _write_stem,
    }
