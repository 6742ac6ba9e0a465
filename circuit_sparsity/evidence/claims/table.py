"""The table of tasks by models: what each model scores and what its circuits are."""

from collections.abc import Sequence
from dataclasses import dataclass

from circuit_sparsity.evidence.claims.values import MAIN
from circuit_sparsity.evidence.evidence import Evidence, read_evidence
from circuit_sparsity.evidence.measures import RANDOM
from circuit_sparsity.experiment.opening import open_stored
from circuit_sparsity.experiment.scores import Score, card_of, stored_scores
from circuit_sparsity.store import Store
from circuit_sparsity.tasks import TASKS

HEAD = ("task", "right", "loss", "right, familiar", "edges", "necessity", "random")
_CLOSE = 1e-9


@dataclass(frozen=True)
class Cell:
    """A model on a task. None is what is not stored."""

    task: str
    novel: Score | None
    familiar: Score | None
    edges: int | None  # of the smallest stored circuit found for 0.15 nats
    evidence: Evidence | None  # of that circuit

    @property
    def words(self) -> tuple[str, ...]:
        control = None if self.evidence is None else self.evidence.control(RANDOM)
        needed = None if self.evidence is None else self.evidence.necessity
        return (
            self.task,
            _share(self.novel),
            "-" if self.novel is None else f"{self.novel.loss:.3f}",
            _share(self.familiar),
            "-" if self.edges is None else f"{self.edges:,}",
            "-" if needed is None else f"{needed:.3f}",
            "-" if control is None or control.necessity is None else f"{control.necessity:.3f}",
        )


def cells(store: Store, model: str) -> tuple[Cell, ...]:
    """Every task for one model, from its card and from what is stored with its circuits."""
    card, found = card_of(store, model), _circuits(store, model)
    out = []
    for task in TASKS:
        scores = stored_scores(card, task)
        edges, evidence = found.get(task, (None, None))
        out.append(Cell(task, scores.get("novel"), scores.get("familiar"), edges, evidence))
    return tuple(out)


def models_of(store: Store) -> tuple[str, ...]:
    """The models here that have a card."""
    names = (row.name for row in store.models() if row.where != "remote")
    return tuple(name for name in names if card_of(store, name) is not None)


def markdown(store: Store, models: Sequence[str]) -> str:
    """A document with one table a model."""
    parts = [
        "# Tasks by models\n\nMade by `python -m circuit_sparsity table --out docs/TASKS.md` from "
        "the models' cards and from the evidence stored beside their circuits.\n\n"
        "- **right**, **loss**: two-way accuracy (chance 50%) and loss (nats per sequence, chance "
        "0.693) on test prompts whose structures no generated training program has; "
        "**familiar** is on structures that they have.\n"
        "- **edges**: of the smallest stored circuit found for a loss of 0.15 nats.\n"
        "- **necessity**: loss of the model without that circuit; **random**: without as many "
        "random nodes, mean over draws.\n- A dash is what is not stored."
    ]
    for model in models:
        lines = [f"| {' | '.join(HEAD)} |", f"|{'---|' * len(HEAD)}"]
        found = cells(store, model)
        lines += [f"| {' | '.join(cell.words)} |" for cell in found]
        solved = sum(cell.novel is not None and cell.novel.accuracy >= 0.95 for cell in found)
        circuits = sum(cell.edges is not None for cell in found)
        told = f"{solved} of {len(found)} tasks at 95% or more; circuits at 0.15 for {circuits}."
        parts.append(f"## {model}\n\n{told}\n\n" + "\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _circuits(store: Store, model: str) -> dict[str, tuple[int, Evidence]]:
    """By task, edges and evidence of the smallest circuit found for 0.15 nats."""
    out: dict[str, tuple[int, Evidence]] = {}
    for row in store.rows():
        if row.model != model or row.where == "remote":
            continue
        circuit = open_stored(store, row.model, row.task, row.sweep, row.k).circuit
        target, evidence = circuit.found.target, read_evidence(store, circuit)
        if evidence is None or target is None or abs(target - MAIN) > _CLOSE:
            continue
        if row.task not in out or evidence.edges < out[row.task][0]:
            out[row.task] = evidence.edges, evidence
    return out


def _share(one: Score | None) -> str:
    return "-" if one is None else f"{one.accuracy:.1%}"
