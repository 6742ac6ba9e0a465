"""A stored run opened: its circuit of any size, with losses and edges of its own.

``open_run(store, circuit).member(96)`` takes the family that lies beside the circuit, or the
ranking that an older run left, whose circuits are not refined and much worse at small sizes.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.circuits.edges import edges
from circuit_sparsity.experiment.opening import batch_of_tests, open_task, open_tokenizer
from circuit_sparsity.pruning.answers import Evaluation
from circuit_sparsity.pruning.descent import LossesWithout
from circuit_sparsity.pruning.family import FAMILY, Family, read_family, write_family
from circuit_sparsity.pruning.find import Cut, check_size
from circuit_sparsity.pruning.learn import Snapshot
from circuit_sparsity.pruning.refine import refine
from circuit_sparsity.pruning.request import open_cut
from circuit_sparsity.store import Store, paths
from circuit_sparsity.tasks.task import CHANCE_LOSS, Task, TaskBatch

COMPILED = 192  # nodes up to which compiling a circuit takes less time than running the model
NEAR_CHANCE = 0.005  # nats: a loss of .69 is a guess too
FROM_FAMILY, FROM_RANKING = "family", "ranking"


@dataclass(frozen=True)
class Member:
    """The circuit of one size of a run. Losses are means in nats per sequence."""

    circuit: Circuit
    edges: int
    loss: float  # the larger of pruning and validation prompts
    test_loss: float  # on prompts of the test split, which decided nothing
    seconds: float  # from the size to these numbers
    source: str  # "family", or "ranking": not refined

    @property
    def k(self) -> int:
        return self.circuit.size

    @property
    def trouble(self) -> str | None:
        """What speaks against this circuit in words, or None."""
        return guess_in_words(self.k, self.test_loss)


def guess_in_words(nodes: int, test_loss: float) -> str | None:
    """What to say of a circuit that does not answer its task; None of one that does."""
    if test_loss < CHANCE_LOSS - NEAR_CHANCE:
        return None
    return (
        f"the circuit of {nodes} nodes is no better than a guess: {test_loss:.4f} nats on test "
        f"prompts, where a guess has {CHANCE_LOSS:.3f}; ask for more nodes or another way to look"
    )


@dataclass(frozen=True, eq=False)
class StoredRun:
    """A run with everything that its circuits take: model, means, prompts. Made by ``open_run``."""

    cut: Cut
    circuit: Circuit  # beside which the run is stored
    test: TaskBatch
    family: Family | None

    def member(self, k: int) -> Member:
        """The run's circuit of k nodes; ValueError for a k that the model does not have."""
        started, subject = time.monotonic(), self.cut.subject
        check_size(k, subject)
        chosen, source = self._chosen(k)
        *decide, test_loss = self._losses(chosen)
        joins = len(edges(chosen, subject.model))
        return Member(chosen, joins, max(decide), test_loss, time.monotonic() - started, source)

    def most_nodes_with(self, n_edges: int) -> int:
        """The largest size, up to the family's, whose circuit has at most so many edges.

        A circuit is its nodes, and its edges are all weights between them; so what is chosen by
        edges is a size. ValueError where even one node has more.
        """
        most = self.cut.subject.layout.size if self.family is None else self.family.most
        fits, over = 0, most + 1
        while over - fits > 1:
            middle = (fits + over) // 2
            joins = len(edges(self._chosen(middle)[0], self.cut.subject.model))
            fits, over = (middle, over) if joins <= n_edges else (fits, middle)
        if fits == 0:
            raise ValueError(f"a circuit of at most {n_edges} edges was asked for; none has so few")
        return fits

    def _losses(self, circuit: Circuit) -> list[float]:
        """On the prompts that decide, pruning and validation, and then on test prompts."""
        if circuit.size <= COMPILED:
            by_batch = LossesWithout(self.cut.subject, circuit, self._batches).by_batch([()])
            return by_batch[:, 0].tolist()
        kept = self.cut.subject.layout.join(circuit.masks(self.cut.subject.model.config))
        return [one.loss(kept) for one in self._evaluations]

    @cached_property
    def _batches(self) -> list[TaskBatch]:
        subject = self.cut.subject
        return [one for one in (subject.evaluation, subject.validation, self.test) if one]

    @cached_property
    def _evaluations(self) -> list[Evaluation]:
        return [Evaluation(self.cut.subject, batch) for batch in self._batches]

    def _chosen(self, k: int) -> tuple[Circuit, str]:
        if self.family is not None and k <= self.family.most:
            return self.family.circuit(k, self.circuit), FROM_FAMILY
        layout = self.cut.subject.layout
        nodes = layout.nodes(self.cut.exactly(k))
        like = Circuit(nodes, *self._names, f"k{k}", means_hash=self.cut.subject.means.hash)
        return like, FROM_RANKING

    @property
    def _names(self) -> tuple[str, str, str]:
        return self.circuit.model, self.circuit.task, self.circuit.sweep


def open_run(
    store: Store, circuit: Circuit, task: Task | None = None, cancel: threading.Event | None = None
) -> StoredRun:
    """The run that found a stored circuit, at any size: its family, or else its ranking.

    ``task`` is one of one's own. Raises ValueError where the circuit has no run beside it, or a
    damaged one.
    """
    cut = open_cut(store, circuit, task, cancel)
    if cut is None:
        raise ValueError(
            f"{circuit.title} has no run beside it, only the one circuit; `python -m "
            f"circuit_sparsity prune {circuit.model} {circuit.task} --target 0.15` makes one"
        )
    tokenizer = open_tokenizer(store, circuit.model)
    test = batch_of_tests(task or open_task(circuit.task), tokenizer, cut.subject.model)
    return StoredRun(cut, circuit, test, stored_family(store, circuit))


def stored_family(store: Store, circuit: Circuit) -> Family | None:
    """The family beside a circuit, the user's own before what ships; None where none lies."""
    folder = paths.viz_name(circuit.model, circuit.task, circuit.sweep, circuit.k).rsplit("/", 1)[0]
    for root in (store.folder, store.shipped):
        found = read_family(root / folder, circuit)
        if found is not None:
            return found
    return None


def refine_run(
    store: Store,
    run: StoredRun,
    report: Callable[[Snapshot], None] = lambda snapshot: None,
    cancel: threading.Event | None = None,
    chains: int = 3,
) -> StoredRun:
    """The run with a family of its own, made from its ranking and stored in the user's folder.

    Raises Cancelled when ``cancel`` is set meanwhile; nothing is stored then.
    """
    ranking, circuit = run.cut.ranking, run.circuit
    family = refine(
        run.cut.subject,
        ranking.settings,
        chains=chains,
        first=ranking,
        test=run.test,
        report=report,
        cancel=cancel,
    )
    keep_family(store, circuit, family)
    return StoredRun(run.cut, circuit, run.test, family)


def keep_family(store: Store, circuit: Circuit, family: Family) -> None:
    """Write a family beside a circuit in the user's folder; what ships is not touched."""
    names = circuit.model, circuit.task, circuit.sweep, circuit.k
    if not (store.folder / paths.viz_name(*names)).is_file():
        store.viz_folder(*names, {"what": FAMILY})  # a folder of our own, not of downloads
    place = paths.inside(store.folder, f"{paths.viz_name(*names).rsplit('/', 1)[0]}/{FAMILY}")
    write_family(family, place.parent)
