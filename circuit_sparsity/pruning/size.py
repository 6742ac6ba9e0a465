"""How many nodes stay: the fewest that meet a target loss, or exactly k."""

import math
from collections.abc import Callable

from jaxtyping import Bool, Int
from torch import Tensor

from circuit_sparsity.circuits.node_vector import Layout

Live = Callable[[Bool[Tensor, " node"]], Bool[Tensor, " node"]]


def fewest(loss_of: Callable[[int], float], target: float, first: int, most: int) -> int | None:
    """An n of 0 to ``most`` whose loss meets the target while that of n - 1 does not.

    Looks at ``first``, then at double or half of it, and bisects between the last two. Where
    ``loss_of`` falls with n this is the fewest. None when no n that it tried meets the target:
    ``most`` is one of them.

    >>> fewest(lambda n: 1 / (n + 1), 0.2, first=16, most=100)
    4
    """
    fails, meets = -1, None
    n = min(max(first, 1), most)
    while meets is None:
        if loss_of(n) <= target:
            meets = n
        elif n == most:
            return None
        else:
            fails, n = n, min(2 * n, most)
    while fails < 0 and meets > 0:
        n = meets // 2
        if loss_of(n) <= target:
            meets = n
        else:
            fails = n
    while meets - fails > 1:
        n = (meets + fails) // 2
        if loss_of(n) <= target:
            meets = n
        else:
            fails = n
    return meets


def exactly(
    k: int, order: Int[Tensor, " node"], layout: Layout, live: Live
) -> Bool[Tensor, " node"]:
    """The k best nodes of ``order`` that are live together.

    Where adding one node brings several to life at once, the worst of them go again; where even
    so no k nodes are live together, the best dangling ones fill the places, and change little.
    """
    low, high = k, min(k, len(order))
    while high < len(order) and _live(order, high, layout, live) < k:
        low, high = high + 1, min(2 * high, len(order))
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if _live(order, middle, layout, live) < k else (low, middle)
    kept = live(layout.first(order, low))
    kept = _shrink(kept, k, order, live)
    missing = k - int(kept.sum())
    fill = [node for node in order.tolist() if not kept[node]][:missing]
    kept[fill] = True
    return kept


def _live(order: Int[Tensor, " node"], n: int, layout: Layout, live: Live) -> int:
    return int(live(layout.first(order, n)).sum())


def _shrink(
    kept: Bool[Tensor, " node"], k: int, order: Int[Tensor, " node"], live: Live
) -> Bool[Tensor, " node"]:
    """Drop the worst node as long as at least k are live without it."""
    for node in reversed(order.tolist()):
        if int(kept.sum()) <= k:
            break
        if kept[node]:
            without = kept.clone()
            without[node] = False
            without = live(without)
            kept = without if int(without.sum()) >= k else kept
    if int(kept.sum()) > k:
        worst = [node for node in reversed(order.tolist()) if kept[node]]
        kept = kept.clone()
        kept[worst[: int(kept.sum()) - k]] = False
    return kept


def log_grid(most: int, per_octave: int = 1) -> tuple[int, ...]:
    """Sizes from 1 to ``most``, evenly spaced in their logarithm.

    >>> log_grid(20)
    (1, 2, 4, 8, 16, 20)
    """
    steps = int(math.log2(most) * per_octave) + 1 if most > 0 else 0
    sizes = {min(most, round(2 ** (i / per_octave))) for i in range(steps)} | {most}
    return tuple(sorted(sizes))
