"""Measure the claims on whatever circuits, rankings, cards and evidence are on this machine.

A ranking stored beside a circuit gives the smallest circuit at any target without pruning again.
What is not there is noted as missing and never fails.
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.circuits.edges import edges
from circuit_sparsity.evidence.claims.bridges import of_bridges
from circuit_sparsity.evidence.claims.values import (
    MAIN,
    TARGETS,
    Claims,
    EdgeCount,
    Missing,
    ModelCard,
    Necessity,
    Way,
)
from circuit_sparsity.evidence.evidence import read_evidence
from circuit_sparsity.evidence.measures import RANDOM
from circuit_sparsity.experiment.experiment import Cancelled
from circuit_sparsity.experiment.opening import open_stored
from circuit_sparsity.experiment.scores import card_of
from circuit_sparsity.pruning.attribution import attribute
from circuit_sparsity.pruning.find import Cut, TargetNotReached
from circuit_sparsity.pruning.request import open_cut
from circuit_sparsity.pruning.settings import QUICK, Goal
from circuit_sparsity.store import Store
from circuit_sparsity.store.local import Row
from circuit_sparsity.tasks import TASKS

ClaimsReport = Callable[[int, int, str], object]  # done, of how many, what is being done
_CLOSE = 1e-9


def measure(
    store: Store,
    sparse: str,
    dense: str | None = None,
    tasks: Sequence[str] = tuple(TASKS),
    targets: Sequence[float] = TARGETS,
    report: ClaimsReport = lambda done, of, what: None,
    cancel: threading.Event | None = None,
) -> Claims:
    """The claims for a sparse model, beside a dense one where that is named.

    Cards and evidence of every model that is here are read too. Raises ValueError for a model
    that is not here, Cancelled when ``cancel`` is set meanwhile.
    """
    for name in (sparse, dense):
        if name is not None and store.path_of_model(name) is None:
            raise ValueError(
                f"the model {name} is not on this machine; `python -m circuit_sparsity list` shows "
                f"what is, `python -m circuit_sparsity fetch {name}` downloads"
            )
    counting = _Counting(store, targets, report, cancel)
    here = [row for row in store.rows() if row.where != "remote" and row.task in tasks]
    models = [row.name for row in store.models() if row.where != "remote"]
    chosen = [row for name in _first(models, sparse, dense) for row in here if row.model == name]
    found = list(counting.of_rows(chosen, sparse, dense))
    missing = [*counting.missing, *_lacking(found, sparse, dense, tasks)]
    cards = tuple(card for name in models if (card := _card(store, name, missing)))
    necessity = tuple(_necessities(store, here, missing))
    hybrids, edits = of_bridges(store, tasks, missing, report, cancel)
    return Claims(sparse, dense, _fewest(found), cards, necessity, tuple(missing), hybrids, edits)


class _Counting:
    """Edges at every target, circuit after circuit."""

    def __init__(
        self,
        store: Store,
        targets: Sequence[float],
        report: ClaimsReport,
        cancel: threading.Event | None,
    ) -> None:
        self._store, self._targets, self._report, self._cancel = store, targets, report, cancel
        self.missing: list[Missing] = []
        self._attributed: set[str] = set()

    def of_rows(self, rows: Sequence[Row], sparse: str, dense: str | None) -> Iterator[EdgeCount]:
        for done, row in enumerate(rows):
            # Of other models only the frontier tells, and that is at one target.
            targets = self._targets if row.model in (sparse, dense) else (MAIN,)
            what = f"{row.model} · {row.task} · {row.k}"
            self._report(done, len(rows), what)
            if self._cancel is not None and self._cancel.is_set():
                raise Cancelled(f"stopped after {done} of {len(rows)} circuits")
            try:
                stored = open_stored(self._store, row.model, row.task, row.sweep, row.k)
                cut = open_cut(self._store, stored.circuit, cancel=self._cancel)
            except ValueError as error:
                self.missing.append(Missing(what, str(error)))
                continue
            if cut is None:
                continue  # nothing but one size: other circuits of the task may have a ranking
            yield from self._own(stored.circuit, cut, targets)
            yield from self._cuts(stored.circuit, cut, _way(stored.circuit), targets)
            if row.model == sparse and row.task not in self._attributed:
                self._attributed.add(row.task)
                ranking = attribute(cut.subject, QUICK, self._cancel)
                again = Cut(cut.subject, ranking, cancel=self._cancel)
                yield from self._cuts(stored.circuit, again, "attribution", targets)
        self._report(len(rows), len(rows), "done")

    def _own(self, circuit: Circuit, cut: Cut, targets: Sequence[float]) -> Iterator[EdgeCount]:
        """The stored circuit, where it was found for one of the targets and refined."""
        target, loss = circuit.found.target, circuit.found.worst_loss
        if target is None or loss is None or circuit.found.minimality is None:
            return
        for wanted in targets:
            if abs(wanted - target) < _CLOSE:
                yield _count(circuit, cut, "learned masks, refined", wanted, loss)

    def _cuts(
        self, circuit: Circuit, cut: Cut, way: Way, targets: Sequence[float]
    ) -> Iterator[EdgeCount]:
        for target in targets:
            try:
                found = cut.circuit(Goal(target), minimal=False)
            except TargetNotReached as error:
                self.missing.append(
                    Missing(f"{circuit.model} · {circuit.task} at {target}, {way}", str(error))
                )
                continue
            loss = found.found.worst_loss
            assert loss is not None, "a circuit cut here tells its losses"
            yield _count(found, cut, way, target, loss)


def _count(circuit: Circuit, cut: Cut, way: Way, target: float, loss: float) -> EdgeCount:
    seed = circuit.found.seed or 0
    n_edges = len(edges(circuit, cut.subject.model))
    return EdgeCount(circuit.model, circuit.task, way, seed, target, circuit.size, n_edges, loss)


def _way(circuit: Circuit) -> Way:
    method = (circuit.found.settings or {}).get("method")
    return "attribution" if method == "attribution" else "learned masks"


def _fewest(found: Sequence[EdgeCount]) -> tuple[EdgeCount, ...]:
    """Of several circuits with the same names, way, seed and target, the one of fewest edges."""
    groups: dict[tuple, list[EdgeCount]] = defaultdict(list)
    for one in found:
        groups[one.model, one.task, one.way, one.seed, one.target].append(one)
    return tuple(min(group, key=lambda one: (one.edges, one.nodes)) for group in groups.values())


def _first(models: Sequence[str], sparse: str, dense: str | None) -> list[str]:
    """The models to count edges of: the two that were named, then all others that are here."""
    return list(dict.fromkeys([sparse, *([dense] if dense else []), *models]))


def _lacking(
    found: Sequence[EdgeCount], sparse: str, dense: str | None, tasks: Sequence[str]
) -> Iterator[Missing]:
    if dense is None:
        why = "no dense model of the same held-out loss was named"
        yield Missing("dense against sparse edges", why, "claims --model M --dense D")
    for model in (sparse, dense):
        have = {one.task for one in found if one.model == model}
        for task in tasks if model is not None else ():
            if task not in have:
                yield Missing(
                    f"{model} · {task}",
                    "no circuit with a ranking of its nodes is stored",
                    f"python -m circuit_sparsity prune {model} {task} --target {MAIN}",
                )


def _card(store: Store, model: str, missing: list[Missing]) -> ModelCard | None:
    try:
        card = card_of(store, model)
    except ValueError as error:
        missing.append(Missing(f"the card of {model}", str(error)))
        return None
    if card is None or "nonzero" not in card or "held_out" not in card:
        return None
    losses = {part: float(one["model"]) for part, one in card["held_out"].items()}
    bigrams = {part: float(one["bigram"]) for part, one in card["held_out"].items()}
    return ModelCard(model, sum(card["nonzero"].values()), losses, bigrams)


def _necessities(store: Store, rows: Sequence[Row], missing: list[Missing]) -> Iterator[Necessity]:
    for row in rows:
        try:
            circuit = open_stored(store, row.model, row.task, row.sweep, row.k).circuit
            evidence = read_evidence(store, circuit)
        except ValueError as error:
            missing.append(Missing(f"evidence of {row.model} · {row.task} · {row.k}", str(error)))
            continue
        control = None if evidence is None else evidence.control(RANDOM)
        target = circuit.found.target
        if evidence is None or control is None or target is None or abs(target - MAIN) > _CLOSE:
            continue
        yield Necessity(
            circuit.title,
            row.model,
            row.task,
            evidence.edges,
            control.circuit_necessity or evidence.necessity,
            control.necessities,
            control.prompts,
        )
