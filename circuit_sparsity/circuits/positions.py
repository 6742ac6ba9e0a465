"""``Positions``: at which tokens of a prompt a step of a recipe acts.

Written after the name of a part and an ``@``:

    0.attn.k:210@7        token 7, counted from 0
    0.attn.k:210@3-5      tokens 3, 4 and 5
    0.attn.k:210@last     the last token, at which the answer is read
    0.attn.k:210@differing    the tokens in which the two prompts of a pair differ
    0.attn.k:210@'("'     every token that reads so; %XX stands for a character, as in addresses
"""

import re
from dataclasses import dataclass
from typing import Literal, get_args
from urllib.parse import quote, unquote

Kind = Literal["all", "range", "last", "differing", "token"]
_RANGE = re.compile(r"(\d+)(?:-(\d+))?")
_EXPECTED = "expected a number from 0, a range such as 3-5, last, differing, or 'a token in quotes'"


@dataclass(frozen=True)
class Positions:
    """Tokens of a prompt. ``first`` to ``end``, both counted, are those of a "range"."""

    kind: Kind = "all"
    first: int = 0
    end: int = 0
    token: str = ""  # the text of a "token"

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            known = ", ".join(get_args(Kind))
            raise ValueError(f"positions are {self.kind!r}; expected one of {known}")
        if self.kind == "range" and not 0 <= self.first <= self.end:
            raise ValueError(f"positions go from {self.first} to {self.end}; {_EXPECTED}")
        if self.kind == "token" and not self.token:
            raise ValueError(f"a position is named by an empty token; {_EXPECTED}")

    @classmethod
    def parse(cls, text: str) -> "Positions":
        """The positions that are written so, without the ``@``; ValueError says how they are.

        >>> Positions.parse("3-5"), Positions.parse("'%20open'").token
        (Positions(kind='range', first=3, end=5, token=''), ' open')
        """
        if text == "last" or text == "differing":
            return cls(text)
        if len(text) > 2 and text[0] == text[-1] == "'":
            return cls("token", token=unquote(text[1:-1]))
        found = _RANGE.fullmatch(text)
        if found is None:
            raise ValueError(f"not a position: {text!r}; {_EXPECTED}")
        return cls("range", int(found[1]), int(found[2] or found[1]))

    def __str__(self) -> str:
        """As written after a part's name, with the ``@``; nothing for all positions."""
        if self.kind == "all":
            return ""
        if self.kind == "token":
            return f"@'{quote(self.token, safe='')}'"
        if self.kind == "range":
            return f"@{self.first}" if self.first == self.end else f"@{self.first}-{self.end}"
        return f"@{self.kind}"

    @property
    def in_words(self) -> str:
        """
        >>> Positions("range", 3, 5).in_words, Positions("token", token="(").in_words
        ('at tokens 3 to 5', "at each token '('")
        """
        if self.kind == "all":
            return "at every token"
        if self.kind == "token":
            return f"at each token {self.token!r}"
        if self.kind == "range":
            many = f"tokens {self.first} to {self.end}"
            return f"at token {self.first}" if self.first == self.end else f"at {many}"
        return "at the last token" if self.kind == "last" else "at the tokens that differ"


ALL = Positions()
LAST = Positions("last")
