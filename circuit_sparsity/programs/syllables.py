"""Names that no list has, made of syllables: their parts can be copied but not known by heart."""

import builtins
import keyword
from collections.abc import Callable

from circuit_sparsity.tasks.words import HELD_OUT_NAMES, HELD_OUT_WORDS

_ONSETS = (
    *"bcdfghjklmnprstvw",
    *("", "", "bl", "br", "ch", "cl", "cr", "dr", "fl", "fr", "gl", "gr", "pl", "pr"),
    *("qu", "sc", "sh", "sl", "sp", "st", "str", "sw", "th", "tr", "wh"),
)
_VOWELS = ("a", "a", "e", "e", "i", "i", "o", "o", "u", "ai", "ea", "ee", "io", "oo", "ou")
_CODAS = (
    *("", "", "", "", "b", "ck", "ct", "d", "g", "l", "m", "n", "nd", "ng", "nt", "p"),
    *("r", "rd", "rk", "rt", "s", "ss", "st", "t", "x"),
)
_ENDINGS = ("", "", "", "al", "age", "ance", "ed", "el", "en", "er", "et", "ic", "ion", "or", "y")
_SHORTEST = 3
_TAKEN = frozenset(
    (*HELD_OUT_NAMES, *HELD_OUT_WORDS, *keyword.kwlist, *keyword.softkwlist, *dir(builtins))
)


def invented_name(random: Callable[[], float]) -> str:
    """A name of one or two syllables and perhaps an ending.

    Neither it nor its plural is a held-out name or word, a keyword or a builtin.
    """

    def pick(choices: tuple[str, ...]) -> str:
        return choices[int(random() * len(choices))]

    while True:
        name = pick(_ONSETS) + pick(_VOWELS) + pick(_CODAS)
        if random() < 0.5:
            name += pick(_ONSETS) + pick(_VOWELS) + pick(_CODAS)
        name += pick(_ENDINGS)
        if len(name) >= _SHORTEST and _TAKEN.isdisjoint((name, f"{name}s", f"{name}es")):
            return name
