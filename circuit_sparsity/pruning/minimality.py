"""What a circuit can do without: nodes, then edges, whose loss leaves the target met.

The part whose removal leaves the lowest loss goes first, and all losses are measured again after
it went. A compiled circuit runs all single removals in one call, equal to the masked model.
"""

import dataclasses
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from jaxtyping import Float
from torch import Tensor

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.circuits.edges import Edge, edges
from circuit_sparsity.circuits.found import Removal
from circuit_sparsity.experiment.experiment import Cancelled
from circuit_sparsity.pruning.dangling import Liveness
from circuit_sparsity.pruning.descent import LossesWithout
from circuit_sparsity.pruning.learn import Snapshot, SnapshotReport
from circuit_sparsity.pruning.objective import Objective
from circuit_sparsity.pruning.settings import PruneSettings
from circuit_sparsity.pruning.subject import Subject
from circuit_sparsity.tasks.task import TaskBatch

Part = TypeVar("Part")
Losses = Callable[[Sequence[Sequence[Part]]], Float[Tensor, " set"]]
FEW = 96  # nodes up to which all prompts order the parts
FEW_PAIRS = 16  # of each kind, that order the parts of a larger circuit
MOST = 512  # nodes; removal from more would take minutes, and what is spare among them is plenty


@dataclass(frozen=True)
class Minimal:
    """A circuit without its spare nodes, and those of its edges that it can do without too.

    The circuit's own loss is that with every weight between its nodes in place: an edge that is
    spare is said to be so, and not taken out of it.
    """

    circuit: Circuit
    before: tuple[int, int]  # nodes and edges
    edges: int
    spare: tuple[Edge, ...]  # ablated together they leave the target met
    loss: float  # without the spare edges: the larger of evaluation and validation, in nats

    def removal(self, nodes_bisected: int | None) -> Removal:
        """What the circuit's ``found`` tells of it."""
        return Removal(
            nodes_bisected=nodes_bisected,
            nodes_before=self.before[0],
            edges_before=self.before[1],
            nodes=self.circuit.size,
            edges=self.edges,
            edges_needed=self.edges - len(self.spare),
            spare_edges=tuple((str(edge.source), str(edge.target)) for edge in self.spare),
            loss_without_spare_edges=self.loss,
        )


class Trimmer:
    """Removes what a subject's circuits do not need."""

    def __init__(
        self,
        subject: Subject,
        report: SnapshotReport = lambda snapshot: None,
        cancel: threading.Event | None = None,
        one_by_one: int = PruneSettings.one_by_one,
        objective: Objective | None = None,
    ) -> None:
        self.subject, self._report, self._cancel = subject, report, cancel
        self._one_by_one, self._objective = one_by_one, objective or Objective()
        self._batches = [subject.evaluation]
        if subject.validation is not None:
            self._batches.append(subject.validation)
        self._few = [b.select(range(min(FEW_PAIRS, b.n_pairs))) for b in self._batches]
        self._liveness = Liveness(subject.model, subject.means, subject.readout)

    def minimal(self, circuit: Circuit, target: float) -> Minimal:
        """``circuit`` without the nodes that it can spare at ``target``, and its spare edges."""
        return self._with_spare_edges(circuit, self.nodes(circuit, target), target)

    def smallest(self, circuit: Circuit, k: int) -> Minimal:
        """``circuit`` cut down to k nodes, and the edges whose removal does not raise its loss."""
        smaller = self.nodes(circuit, math.inf, k)
        return self._with_spare_edges(circuit, smaller, self.loss(smaller))

    def nodes(self, circuit: Circuit, target: float, k: int = 0) -> Circuit:
        """``circuit`` without nodes, at least ``k`` of them left, while ``target`` is met.

        With an infinite target exactly ``k`` nodes are left.
        """
        start = circuit.size
        while circuit.size > k:
            losses = self._losses(circuit)
            few = losses if circuit.size <= FEW else self._losses(circuit, self._few)
            most = min(self._at_a_time(circuit.size), circuit.size - k)
            gone, loss = _removable(circuit.node_list, few, losses, target, most)
            if not gone:
                break
            circuit = circuit.without(gone)
            self._tell("nodes", start - circuit.size, start, loss, circuit)
        return self._without_dangling(circuit, target, k)

    def _without_dangling(self, circuit: Circuit, target: float, k: int) -> Circuit:
        layout, config = self.subject.layout, self.subject.model.config
        live = self._liveness.live(circuit.masks(config))
        smaller = dataclasses.replace(circuit, nodes=layout.nodes(layout.join(live)))
        if k <= smaller.size < circuit.size and self.loss(smaller) <= target:
            return smaller
        return circuit

    def _with_spare_edges(self, start: Circuit, circuit: Circuit, target: float) -> Minimal:
        before = start.size, len(edges(start, self.subject.model))
        joins, losses = edges(circuit, self.subject.model), self._losses(circuit)
        spare: list[Edge] = []
        loss = float(losses([()])[0])
        while True:
            left = [edge for edge in joins if edge not in set(spare)]
            without = lambda sets: losses([[*spare, *more] for more in sets])  # noqa: B023, E731
            gone, found = _removable(left, without, without, target, self._at_a_time(len(left)))
            if not gone:
                return Minimal(circuit, before, len(joins), tuple(spare), loss)
            spare, loss = [*spare, *gone], found
            self._tell("edges", len(spare), len(joins), loss, circuit)

    def loss(self, circuit: Circuit) -> float:
        """The larger mean task loss of evaluation and validation prompts, in nats."""
        return float(self._losses(circuit)([()])[0])

    def _losses(
        self, circuit: Circuit, batches: Sequence[TaskBatch] | None = None
    ) -> LossesWithout:
        return LossesWithout(self.subject, circuit, batches or self._batches, self._objective)

    def _at_a_time(self, n: int) -> int:
        return 1 if n <= self._one_by_one else max(1, n // 16)

    def _tell(self, stage: str, done: int, of: int, loss: float, circuit: Circuit) -> None:
        if self._cancel is not None and self._cancel.is_set():
            raise Cancelled(f"stopped after {done} of {of} {stage} went")
        kept = self.subject.layout.join(circuit.masks(self.subject.model.config))
        self._report(Snapshot(stage, done, of, loss, circuit.size, kept))


def _removable(
    parts: Sequence[Part], alone: Losses, losses: Losses, target: float, most: int
) -> tuple[list[Part], float]:
    """Up to ``most`` parts that may go together, and the loss without them.

    Taken are the first of those whose removal ``alone`` leaves the lowest loss, as many as may.
    """
    if not parts:
        return [], 0.0
    order = alone([[part] for part in parts]).argsort(stable=True)[:most].tolist()
    sizes = [n for n in range(1, len(order) + 1) if n in (1, len(order)) or n % 4 == 0]
    together = losses([[parts[i] for i in order[:n]] for n in sizes])
    fine = [i for i, loss in enumerate(together) if loss <= target]
    if not fine:
        return [], float(together[0])
    return [parts[i] for i in order[: sizes[fine[-1]]]], float(together[fine[-1]])
