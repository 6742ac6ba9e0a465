"""Remove the nodes of a circuit one after the other, and add others so that they do no harm.

The node goes whose removal leaves the lowest loss, by exact ablation in a compiled circuit.
Removals are scored all together at the beginning of a round, and the cheapest few of them again
before each single removal: two nodes that can each be spared often cannot be spared together.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.circuits.edges import Edge
from circuit_sparsity.core.names import Node
from circuit_sparsity.experiment.experiment import Cancelled
from circuit_sparsity.pruning.learn import Snapshot
from circuit_sparsity.pruning.objective import Objective
from circuit_sparsity.pruning.subject import Subject
from circuit_sparsity.runtime.compiled import compile_circuit
from circuit_sparsity.tasks.task import TaskBatch

FEW, FEW_PAIRS = 128, 16  # above so many nodes, so many pairs of each kind score removals
ROUND = 8  # one in so many nodes goes before all removals are scored again
ONE_BY_ONE = 16  # up to so many nodes, all removals are scored before each
AGAIN = 10  # removals that are scored again before each
NO_HARM = 1e-3  # nats by which nodes that are added together may miss the best
SPARE_CANDIDATES = 64  # so many more nodes than are wanted are tried as additions
ADD = 2  # one in so many wanted nodes is added before all additions are scored again

Told = Callable[[Snapshot], None]


class LossesWithout:
    """Of sets of a circuit's nodes and edges, the circuit's loss without each, on some batches."""

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

    def by_batch(self, sets: Sequence[Sequence[Node | Edge]]) -> Float[Tensor, "batch set"]:
        """Mean losses in nats per sequence; the empty set is the circuit itself."""
        pairs = zip(self._runs, self._of_model, strict=True)
        each = [self._objective(run.margins_without(sets), whole) for run, whole in pairs]
        return torch.stack([losses.mean(dim=1) for losses in each])

    def __call__(self, sets: Sequence[Sequence[Node | Edge]]) -> Float[Tensor, " set"]:
        """The largest of the batches' mean losses."""
        return self.by_batch(sets).amax(dim=0)


@dataclass(frozen=True, eq=False)
class Descent:
    """Removes the nodes of a subject's circuits, one after the other."""

    subject: Subject
    objective: Objective
    report: Told = lambda snapshot: None
    cancel: threading.Event | None = None

    def order(self, circuit: Circuit, down_to: int = 1) -> tuple[Node, ...]:
        """The nodes of ``circuit`` from the one to keep first: the reverse of their removal.

        The first ``down_to`` are those of the circuit that is left, in order of computation.
        """
        removed: list[Node] = []
        start, left = circuit.size, circuit
        while left.size > max(down_to, 1):
            gone, loss = self._round(left, left.size - down_to)
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

    def additions(self, kept: Sequence[Node], more: Sequence[Node], n: int) -> tuple[Node, ...]:
        """``n`` of the nodes ``more`` in the order in which to add them to ``kept``.

        Those come first that leave the lowest loss, scored again after every few.
        """
        outside = list(more[: n + SPARE_CANDIDATES])
        circuit = circuit_of(self.subject, (*kept, *outside))
        losses = LossesWithout(self.subject, circuit, self.few, self.objective)
        added: list[Node] = []
        while len(added) < n and outside:
            alone = losses([[one for one in outside if one != node] for node in outside])
            best = [outside[i] for i in alone.argsort(stable=True).tolist()]
            some = best[: max(1, min((n - len(added) + ADD - 1) // ADD, len(best)))]
            sizes = [size for size in (1, 2, 4, 8, 16, 32, 64, 128) if size < len(some)]
            sizes.append(len(some))
            together = losses([[one for one in outside if one not in some[:m]] for m in sizes])
            lowest = float(together.min())
            fine = [
                m for m, x in zip(sizes, together.tolist(), strict=True) if x <= lowest + NO_HARM
            ]
            added += some[: fine[-1]]
            outside = [node for node in outside if node not in added]
            self._tell(len(added), n, float(together.min()), circuit.without(outside))
        return tuple(added[:n])

    def _round(self, circuit: Circuit, most: int) -> tuple[list[Node], float]:
        """The nodes, ``most`` at most, that go before all removals are scored again, and the loss
        without them."""
        n = circuit.size
        batches = self.few if n > FEW else self.decide
        losses = LossesWithout(self.subject, circuit, batches, self.objective)
        alone = losses([[node] for node in circuit.node_list])
        left = [circuit.node_list[i] for i in alone.argsort(stable=True).tolist()]
        gone, loss = [left.pop(0)], float(alone.min())
        for _ in range(1, min(1 if n <= ONE_BY_ONE else n // ROUND, most)):
            again = losses([[*gone, node] for node in left[:AGAIN]])
            best = int(again.argmin())
            gone, loss = [*gone, left.pop(best)], float(again[best])
        return gone, loss

    def _tell(self, done: int, of: int, loss: float, circuit: Circuit) -> None:
        if self.cancel is not None and self.cancel.is_set():
            raise Cancelled(f"stopped after {done} of {of} nodes went")
        kept = self.subject.layout.join(circuit.masks(self.subject.model.config))
        self.report(Snapshot("nodes", done, of, loss, circuit.size, kept))


def circuit_of(subject: Subject, nodes: Sequence[Node]) -> Circuit:
    """The subject's circuit of these nodes, not yet of any sweep."""
    empty = dict.fromkeys(subject.layout.locations, ())
    whole = Circuit(empty, subject.model_name, subject.task_name, "", str(len(nodes)))
    return whole.with_nodes(nodes)
