"""Which token of one prompt stands for which of another."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Place = int | None


@dataclass(frozen=True)
class Alignment:
    """Pairs of positions in reading order; None where one text has nothing to set against."""

    pairs: tuple[tuple[Place, Place], ...]
    by: Literal["position", "common ends"]

    @property
    def both(self) -> tuple[tuple[int, int], ...]:
        """The pairs in which both texts have a token."""
        return tuple((a, b) for a, b in self.pairs if a is not None and b is not None)


def align(one: Sequence[int], other: Sequence[int]) -> Alignment:
    """Position by position for texts of one length, else by their longest common beginning and end.

    What is between beginning and end has no counterpart.

    >>> align([1, 2, 3], [1, 9, 3]).pairs
    ((0, 0), (1, 1), (2, 2))
    >>> align([1, 2, 3], [1, 7, 8, 3]).pairs
    ((0, 0), (1, None), (None, 1), (None, 2), (2, 3))
    """
    if len(one) == len(other):
        return Alignment(tuple((i, i) for i in range(len(one))), "position")
    shorter = min(len(one), len(other))
    begin = _common(one, other, shorter)
    end = _common(one[::-1], other[::-1], shorter - begin)
    middle = [(i, None) for i in range(begin, len(one) - end)]
    middle += [(None, j) for j in range(begin, len(other) - end)]
    ends = [(len(one) - k, len(other) - k) for k in range(end, 0, -1)]
    return Alignment((*((i, i) for i in range(begin)), *middle, *ends), "common ends")


def _common(one: Sequence[int], other: Sequence[int], most: int) -> int:
    pairs = zip(one[:most], other[:most], strict=True)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), most)


def counterparts(one: Sequence[int], other: Sequence[int]) -> list[int]:
    """For each token of ``one`` the position of its counterpart in ``other``, -1 for none.

    As `align`, and the last tokens, at which answers are read, always stand for each other.

    >>> counterparts([1, 2, 3], [1, 7, 8, 3]), counterparts([1, 2], [3, 1, 4])
    ([0, -1, 3], [-1, 2])
    """
    found = [-1] * len(one)
    for a, b in align(one, other).both:
        found[a] = b
    if one and other:
        found[-1] = len(other) - 1
    return found
