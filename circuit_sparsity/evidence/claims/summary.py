"""Claims in a few numbers: geometric means over tasks, seed by seed, beside the paper's."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from circuit_sparsity.evidence.claims import values as paper
from circuit_sparsity.evidence.claims.values import MAIN, Claims, EdgeCount, Necessity, Way
from circuit_sparsity.evidence.frontier import geometric_mean


@dataclass(frozen=True)
class Comparison:
    """Edges of two ways or models on the same tasks at the same target, for each seed.

    Both have the same seeds; or, where they share none, each its own.
    """

    target: float  # nats per sequence
    tasks: tuple[str, ...]  # those that both have
    larger: Mapping[int, float]  # geometric-mean edges, by seed
    smaller: Mapping[int, float]
    paper: float | None  # its ratio

    @property
    def ratios(self) -> tuple[float, ...]:
        """Larger over smaller: seed by seed where both have the seed, else of the means."""
        seeds = sorted(set(self.larger) & set(self.smaller))
        if seeds:
            return tuple(self.larger[seed] / self.smaller[seed] for seed in seeds)
        return (fmean(self.larger.values()) / fmean(self.smaller.values()),)


@dataclass(frozen=True)
class FrontierPoint:
    """A model on the frontier of Fig. 3."""

    name: str
    loss: float  # nats per token on held-out text
    edges: float  # geometric mean at 0.15
    tasks: int
    nonzero: int | None = None


def dense_against_sparse(claims: Claims, way: Way = "learned masks") -> tuple[Comparison, ...]:
    """Fig. 2: one comparison a target, over the tasks that both models solve there."""
    if claims.dense is None:
        return ()
    sparse = [one for one in claims.edges if one.model == claims.sparse and one.way == way]
    dense = [one for one in claims.edges if one.model == claims.dense and one.way == way]
    return _compared(dense, sparse, paper.ratio)


def attribution_against_learned(claims: Claims) -> tuple[Comparison, ...]:
    """Fig. 31: on the sparse model. Attribution has no seed of masks; it counts for each seed."""
    own = [one for one in claims.edges if one.model == claims.sparse]
    learned = [one for one in own if one.way == "learned masks"]
    seeds = {one.seed for one in learned}
    scored = [replace(one, seed=seed) for one in own if one.way == "attribution" for seed in seeds]
    ratio = paper.ATTRIBUTION / paper.LEARNED
    return _compared(scored, learned, lambda target: ratio if target == MAIN else None)


def _compared(
    larger: Sequence[EdgeCount],
    smaller: Sequence[EdgeCount],
    told: Callable[[float], float | None],
) -> tuple[Comparison, ...]:
    out = []
    for target in sorted({one.target for one in larger} & {one.target for one in smaller}):
        of = [[one for one in group if one.target == target] for group in (larger, smaller)]
        tasks = {one.task for one in of[0]} & {one.task for one in of[1]}
        if tasks:
            means = [_by_seed(group, tasks) for group in of]
            if all(means):
                seeds = set(means[0]) & set(means[1])
                first, second = (
                    {seed: edges for seed, edges in group.items() if not seeds or seed in seeds}
                    for group in means
                )
                out.append(Comparison(target, tuple(sorted(tasks)), first, second, told(target)))
    return tuple(out)


def _by_seed(counts: Sequence[EdgeCount], tasks: set[str]) -> dict[int, float]:
    """Geometric means of the seeds that have every task; where none has, of the best of each."""
    by_seed: dict[int, dict[str, int]] = {}
    for one in counts:
        if one.task in tasks:
            by_seed.setdefault(one.seed, {})[one.task] = one.edges
    whole = {seed: of for seed, of in sorted(by_seed.items()) if set(of) == tasks}
    if not whole:
        best = {
            task: min(of[task] for of in by_seed.values() if task in of) for task in sorted(tasks)
        }
        whole = {min(by_seed): best}
    return {
        seed: geometric_mean(max(1, count) for count in of.values()) for seed, of in whole.items()
    }


def frontier(claims: Claims, part: str = "generated") -> tuple[FrontierPoint, ...]:
    """Fig. 3: held-out loss and geometric-mean edges at 0.15, on tasks that all models have.

    Of models that were measured on the same held-out text as the sparse one: bigrams have the same
    loss there.
    """
    counts = [one for one in claims.edges if one.target == MAIN and one.way == "learned masks"]
    texts = {card.model: card.bigrams.get(part) for card in claims.cards}
    same = [card for card in claims.cards if texts[card.model] == texts.get(claims.sparse)]
    cards = {card.model: card for card in same if part in card.losses}
    of = {name: [one for one in counts if one.model == name] for name in cards}
    of = {name: found for name, found in of.items() if found}
    shared = set.intersection(*({one.task for one in found} for found in of.values())) if of else ()
    if not shared:
        return ()
    return tuple(
        FrontierPoint(
            name,
            cards[name].losses[part],
            fmean(_by_seed(found, set(shared)).values()),
            len(shared),
            cards[name].nonzero,
        )
        for name, found in sorted(of.items())
    )


@dataclass(frozen=True)
class Needed:
    """Fig. 32 over the circuits of one model; all are losses in nats per sequence."""

    model: str
    circuits: int
    lowest: float  # without the circuit
    highest: float
    random: float  # mean without as many random nodes
    worst: float  # highest without such nodes


def necessities(claims: Claims) -> tuple[Needed, ...]:
    """Losses without a circuit, and without random sets of its size, by model."""
    by_model: dict[str, list[Necessity]] = {}
    for one in claims.necessity:
        if one.random:
            by_model.setdefault(one.model, []).append(one)
    out = []
    for model, ones in sorted(by_model.items()):
        without, random = [one.necessity for one in ones], [x for one in ones for x in one.random]
        out.append(Needed(model, len(ones), min(without), max(without), fmean(random), max(random)))
    return tuple(out)
