"""How small a model's circuits are over several tasks: one number to compare with its loss."""

import math
from collections.abc import Iterable

from circuit_sparsity.experiment.sizes import Sized

TARGET = 0.15  # nats per sequence: the paper compares circuits that reach it


def smallest(circuits: Iterable[Sized], target: float = TARGET) -> dict[str, Sized]:
    """Of each task the circuit of fewest edges among those that count, by task in order.

    A circuit counts that a search for ``target`` or less found, or whose stored loss is that low:
    on prompts that a search never saw, its circuit may miss the target by a little.
    """
    best: dict[str, Sized] = {}
    for one in circuits:
        known = best.get(one.task)
        if counts(one, target) and (known is None or _size(one) < _size(known)):
            best[one.task] = one
    return dict(sorted(best.items()))


def counts(one: Sized, target: float) -> bool:
    """Whether a circuit was found for ``target`` or less, or reaches it."""
    return (one.target is not None and one.target <= target) or one.loss <= target


def geometric_mean(edges: Iterable[int]) -> float:
    """The paper's size of a family of circuits: the geometric mean of their edges over tasks.

    >>> round(geometric_mean([10, 1000]), 6), geometric_mean([5, 0])
    (100.0, 0.0)
    """
    numbers = list(edges)
    if not numbers:
        raise ValueError("a geometric mean of no circuits; expected at least one task")
    if min(numbers) <= 0:
        return 0.0
    return math.exp(sum(map(math.log, numbers)) / len(numbers))


def _size(one: Sized) -> tuple[int, int]:
    return one.edges, one.nodes
