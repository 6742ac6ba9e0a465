"""In what two prompts of a pair differ, for whoever shows them."""

from collections.abc import Hashable, Sequence
from difflib import SequenceMatcher


def differing(
    one: Sequence[Hashable], other: Sequence[Hashable]
) -> tuple[frozenset[int], frozenset[int]]:
    """The places in each of two sequences that have no counterpart in the other.

    >>> differing(["with", " open"], ["f", " =", " open"])
    (frozenset({0}), frozenset({0, 1}))
    """
    matcher = SequenceMatcher(None, one, other, autojunk=False)
    changes = [change for change in matcher.get_opcodes() if change[0] != "equal"]
    first = frozenset(i for _, start, end, _, _ in changes for i in range(start, end))
    second = frozenset(i for _, _, _, start, end in changes for i in range(start, end))
    return first, second


def marked(parts: Sequence[str], places: frozenset[int]) -> str:
    """The parts as one text, runs of those at `places` between « and ».

    >>> marked(["if", " x", " =", "= 3"], frozenset({0, 3}))
    '«if» x =«= 3»'
    """
    out = ""
    for i, part in enumerate(parts):
        opens, closes = i - 1 not in places, i + 1 not in places
        out += f"{'«' * opens}{part}{'»' * closes}" if i in places else part
    return out
