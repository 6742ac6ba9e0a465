"""Make a family: remove nodes one after the other from a circuit with plenty, down to the last.

Each chain begins with the best nodes of a ranking, the best of the chains before it added, and
loses the node that can best be spared. What is removed last is kept first. Above its beginning a
chain goes on with those nodes of the ranking that do no harm.
"""

import dataclasses
import itertools
import threading
import time
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool
from torch import Tensor

from circuit_sparsity.pruning.dangling import Liveness
from circuit_sparsity.pruning.descent import Descent, LossesWithout, Told, circuit_of
from circuit_sparsity.pruning.family import Chain, Family, FamilyPoint, served, sizes_up_to
from circuit_sparsity.pruning.find import rank
from circuit_sparsity.pruning.objective import Objective
from circuit_sparsity.pruning.ranking import Ranking
from circuit_sparsity.pruning.settings import Goal, PruneSettings
from circuit_sparsity.pruning.size import exactly
from circuit_sparsity.pruning.subject import Subject
from circuit_sparsity.tasks.task import TaskBatch

MOST = 512  # nodes of a chain
START = (192, 384)  # at least and at most so many nodes of a ranking begin a chain


def refine(
    subject: Subject,
    settings: PruneSettings,
    *,
    chains: int = 3,
    most: int = MOST,
    first: Ranking | None = None,
    test: TaskBatch | None = None,
    report: Told = lambda snapshot: None,
    cancel: threading.Event | None = None,
) -> Family:
    """A circuit of every size up to ``most`` nodes, of the subject's task.

    Every chain has a ranking of its own, by masks with another seed and another number of nodes
    in view; ``first`` is one that is there already. Seeds are the settings' and those after it.
    With ``test``, the points tell the losses there too. The same arguments give the same family.
    Raises ValueError where there is nothing to make, and Cancelled when ``cancel`` is set.
    """
    if chains < 1 or most < 1:
        raise ValueError(f"got {chains} chains of {most} nodes; expected one or more of each")
    started, most = time.monotonic(), min(most, subject.layout.size)
    descent = Descent(subject, Objective(settings.objective), report, cancel)
    found: list[Chain] = []
    rankings: list[Ranking] = []
    for number in range(chains):
        seeded = dataclasses.replace(settings, seed=settings.seed + number)
        ranking = first if number == 0 else None
        if ranking is None:
            suggested = rankings[0].suggested if rankings else most
            ranking = rank(subject, seeded, _goal(number, suggested, most), report, cancel)
        rankings.append(ranking)
        found.append(_chain(descent, ranking, found, most))
    sizes, how = sizes_up_to(most), (descent.decide, descent.objective)
    by_chain = [losses_by_size(subject, chain, sizes, *how) for chain in found]
    shortest = max(set.intersection(*map(set, by_chain)))
    best = min(range(chains), key=lambda number: by_chain[number][shortest])
    found[best] = _extended(descent, found[best], rankings[best], most)
    by_chain[best] = losses_by_size(subject, found[best], sizes, *how)
    serving = served(by_chain)
    points = _points(subject, found, serving, by_chain, test)
    names = subject.model_name, subject.task_name, subject.means.hash
    seconds = time.monotonic() - started
    return Family(*names, settings, tuple(found), serving, points, seconds)


def _goal(number: int, suggested: int, most: int) -> Goal:
    """What a chain's masks are steered to: the target; then half as many nodes, then twice."""
    if number == 0:
        return Goal()
    share = (0.5, 2.0, 1.0)[(number - 1) % 3]
    return Goal(k=max(1, min(round(share * suggested), most)))


def _chain(descent: Descent, ranking: Ranking, before: Sequence[Chain], most: int) -> Chain:
    """The best nodes of a ranking, and of the chains before it, refined."""
    subject = descent.subject
    layout, liveness = subject.layout, Liveness(subject.model, subject.means, subject.readout)

    def live(kept: Bool[Tensor, " node"]) -> Bool[Tensor, " node"]:
        return layout.join(liveness.live(layout.split(kept)))

    size = min(max(START[0], 2 * ranking.suggested), START[1], most)
    start = exactly(size, ranking.order, layout, live)
    for chain in before:
        start[[layout.index(node) for node in chain[: size // 3]]] = True
    begin = circuit_of(subject, ())
    return descent.order(dataclasses.replace(begin, nodes=layout.nodes(start)))[:most]


def _extended(descent: Descent, chain: Chain, ranking: Ranking, most: int) -> Chain:
    """The chain and, up to ``most`` nodes, those of its ranking that do no harm."""
    subject = descent.subject
    everything = subject.layout.nodes(torch.ones(subject.layout.size, dtype=torch.bool))
    nodes = dataclasses.replace(circuit_of(subject, ()), nodes=everything).node_list
    begun = set(chain)
    more = [nodes[i] for i in ranking.order.tolist() if nodes[i] not in begun]
    return (*chain, *descent.additions(chain, more, most - len(chain)))


def losses_by_size(
    subject: Subject,
    chain: Chain,
    sizes: Sequence[int],
    batches: Sequence[TaskBatch],
    objective: Objective | None = None,
) -> Mapping[int, float]:
    """The loss of the chain's circuit of each size, in nats per sequence: the task's if untold."""
    found: dict[int, float] = {}
    limits = sorted({min(limit, len(chain)) for limit in (32, 128, len(chain))})
    for low, high in itertools.pairwise((0, *limits)):
        some = [k for k in sizes if low < k <= high]
        if some:
            circuit = circuit_of(subject, chain[:high])
            losses = LossesWithout(subject, circuit, batches, objective)
            found |= dict(zip(some, losses([chain[k:high] for k in some]).tolist(), strict=True))
    return found


def _points(
    subject: Subject,
    chains: Sequence[Chain],
    serving: Sequence[tuple[int, int]],
    by_chain: Sequence[Mapping[int, float]],
    test: TaskBatch | None,
) -> tuple[FamilyPoint, ...]:
    sizes = sorted(set().union(*by_chain))
    chosen = {k: [chain for start, chain in serving if start <= k][-1] for k in sizes}
    on_test: dict[int, float] = {}
    if test is not None:
        for number in {*chosen.values()}:
            mine = [k for k in sizes if chosen[k] == number]
            on_test |= losses_by_size(subject, chains[number], mine, [test])
    return tuple(FamilyPoint(k, by_chain[chosen[k]][k], on_test.get(k)) for k in sizes)
