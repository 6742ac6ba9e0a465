"""Make a family: remove nodes one after the other from a circuit with plenty, down to the last.

Each chain begins with the best nodes of a ranking, the best of the chains before it added, and
loses the node whose removal leaves the lowest loss, by exact ablation in a compiled circuit. What
is removed last is kept first. Above its beginning a chain goes on with the ranking.

Removals are scored all together at the beginning of a round, and the cheapest few of them again
before each single removal: two nodes that can each be spared often cannot be spared together.
"""

import dataclasses
import itertools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.core.names import Node
from circuit_sparsity.experiment.experiment import Cancelled
from circuit_sparsity.pruning.dangling import Liveness
from circuit_sparsity.pruning.family import Chain, Family, FamilyPoint, served, sizes_up_to
from circuit_sparsity.pruning.find import rank
from circuit_sparsity.pruning.learn import Snapshot
from circuit_sparsity.pruning.objective import Objective
from circuit_sparsity.pruning.ranking import Ranking
from circuit_sparsity.pruning.settings import Goal, PruneSettings
from circuit_sparsity.pruning.size import exactly
from circuit_sparsity.pruning.subject import Subject
from circuit_sparsity.runtime.compiled import compile_circuit
from circuit_sparsity.tasks.task import TaskBatch

MOST = 512  # nodes of a chain
START = (192, 384)  # at least and at most so many nodes of a ranking begin a chain
FEW, FEW_PAIRS = 128, 16  # above so many nodes, so many pairs of each kind score removals
ROUND = 8  # one in so many nodes goes before all removals are scored again
ONE_BY_ONE = 16  # up to so many nodes, all removals are scored before each
AGAIN = 10  # removals that are scored again before each

Told = Callable[[Snapshot], None]


class LossesWithout:
    """Of sets of a circuit's nodes, the loss of the circuit without each, on some batches."""

    def __init__(
        self,
        subject: Subject,
        circuit: Circuit,
        batches: Sequence[TaskBatch],
        objective: Objective | None = None,
    ) -> None:
        compiled = compile_circuit(circuit, subject.model, subject.means)
        self._objective = objective or Objective()
        self._runs = [compiled.on(batch) for batch in batches]
        self._of_model = [self._objective.reference(subject, batch) for batch in batches]

    def by_batch(self, sets: Sequence[Sequence[Node]]) -> Float[Tensor, "batch set"]:
        """Mean losses in nats per sequence; the empty set is the circuit itself."""
        pairs = zip(self._runs, self._of_model, strict=True)
        each = [self._objective(run.margins_without(sets), whole) for run, whole in pairs]
        return torch.stack([losses.mean(dim=1) for losses in each])

    def __call__(self, sets: Sequence[Sequence[Node]]) -> Float[Tensor, " set"]:
        """The largest of the batches' mean losses."""
        return self.by_batch(sets).amax(dim=0)


@dataclass(frozen=True, eq=False)
class Descent:
    """Removes the nodes of a subject's circuits, one after the other."""

    subject: Subject
    objective: Objective
    report: Told = lambda snapshot: None
    cancel: threading.Event | None = None

    def order(self, circuit: Circuit) -> Chain:
        """The nodes of ``circuit`` from the one to keep first: the reverse of their removal."""
        removed: list[Node] = []
        start, left = circuit.size, circuit
        while left.size > 1:
            gone, loss = self._round(left)
            removed += gone
            left = left.without(gone)
            self._tell(len(removed), start, loss, left)
        return (*left.node_list, *reversed(removed))

    @cached_property
    def decide(self) -> list[TaskBatch]:
        """The prompts that decide: pruning and validation ones."""
        return [one for one in (self.subject.evaluation, self.subject.validation) if one]

    @cached_property
    def few(self) -> list[TaskBatch]:
        """Of each kind, the pairs that decide while there are many nodes."""
        return [one.select(range(min(FEW_PAIRS, one.n_pairs))) for one in self.decide]

    def _round(self, circuit: Circuit) -> tuple[list[Node], float]:
        """The nodes that go before all removals are scored again, and the loss without them."""
        n = circuit.size
        batches = self.few if n > FEW else self.decide
        losses = LossesWithout(self.subject, circuit, batches, self.objective)
        alone = losses([[node] for node in circuit.node_list])
        left = [circuit.node_list[i] for i in alone.argsort(stable=True).tolist()]
        gone, loss = [left.pop(0)], float(alone.min())
        for _ in range(1, 1 if n <= ONE_BY_ONE else n // ROUND):
            again = losses([[*gone, node] for node in left[:AGAIN]])
            best = int(again.argmin())
            gone, loss = [*gone, left.pop(best)], float(again[best])
        return gone, loss

    def _tell(self, done: int, of: int, loss: float, circuit: Circuit) -> None:
        if self.cancel is not None and self.cancel.is_set():
            raise Cancelled(f"stopped after {done} of {of} nodes went")
        kept = self.subject.layout.join(circuit.masks(self.subject.model.config))
        self.report(Snapshot("nodes", done, of, loss, circuit.size, kept))


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
    suggested = most if first is None else first.suggested
    for number in range(chains):
        seeded = dataclasses.replace(settings, seed=settings.seed + number)
        ranking = first if number == 0 else None
        if ranking is None:
            goal = _goal(number, suggested, most)
            ranking = rank(subject, seeded, goal, report, cancel)
        suggested = ranking.suggested if number == 0 else suggested
        found.append(_chain(descent, ranking, found, most))
    sizes = sizes_up_to(most)
    decide, objective = descent.decide, descent.objective
    by_chain = [losses_by_size(subject, chain, sizes, decide, objective) for chain in found]
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
    """The best nodes of a ranking and of earlier chains refined, then the ranking's others."""
    subject = descent.subject
    layout, liveness = subject.layout, Liveness(subject.model, subject.means, subject.readout)

    def live(kept: Bool[Tensor, " node"]) -> Bool[Tensor, " node"]:
        return layout.join(liveness.live(layout.split(kept)))

    everything = Circuit(layout.nodes(torch.ones(layout.size, dtype=torch.bool)), "", "", "", "")
    every, order = everything.node_list, ranking.order.tolist()
    size = min(max(START[0], 2 * ranking.suggested), START[1], most)
    start = exactly(size, ranking.order, layout, live)
    earlier = {node for chain in before for node in chain[: size // 3]}
    begin = [every[i] for i in order if start[i] or every[i] in earlier]
    refined = descent.order(circuit_of(subject, begin))
    top = exactly(most, ranking.order, layout, live)
    ranked = [i for i in order if top[i]] + [i for i in order if not top[i]]
    more = (every[i] for i in ranked if every[i] not in set(begin))
    return (*refined, *more)[:most]


def circuit_of(subject: Subject, nodes: Sequence[Node]) -> Circuit:
    """The subject's circuit of these nodes, not yet of any sweep."""
    empty = dict.fromkeys(subject.layout.locations, ())
    whole = Circuit(empty, subject.model_name, subject.task_name, "", str(len(nodes)))
    return whole.with_nodes(nodes)


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
    sizes = sorted(by_chain[0])
    chosen = {k: [chain for start, chain in serving if start <= k][-1] for k in sizes}
    on_test: dict[int, float] = {}
    for number in {*chosen.values()} if test is not None else ():
        mine = [k for k in sizes if chosen[k] == number]
        on_test |= losses_by_size(subject, chains[number], mine, [test])
    return tuple(FamilyPoint(k, by_chain[chosen[k]][k], on_test.get(k)) for k in sizes)
