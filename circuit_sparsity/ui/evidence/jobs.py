"""Measuring evidence as jobs; each part is stored as soon as it is there."""

import dataclasses
import threading
from dataclasses import dataclass

from circuit_sparsity.evidence.evidence import Evidence, read_evidence, write_evidence
from circuit_sparsity.evidence.measures import measure
from circuit_sparsity.evidence.prunings import (
    NONSENSE,
    SEEDS,
    UNTRAINED,
    nonsense_control,
    ranking_of,
    settings_of,
    stability,
    untrained_control,
)
from circuit_sparsity.experiment.experiment import Experiment
from circuit_sparsity.experiment.opening import open_tokenizer, task_of
from circuit_sparsity.pruning.learn import Snapshot
from circuit_sparsity.pruning.request import open_subject
from circuit_sparsity.store import Store
from circuit_sparsity.tasks.task import Task
from circuit_sparsity.ui.shell.jobs import Job, ReportProgress, jobs
from circuit_sparsity.ui.shell.pickers import Choice

KIND = "evidence"


@dataclass(frozen=True)
class MeasuringProgress:
    """Where a measuring is; ``of`` is 0 while nobody knows of how many."""

    words: str
    done: int = 0
    of: int = 0
    part: tuple[int, int] = (1, 1)  # which, of how many


def find(store: Store, choice: Choice) -> Job | None:
    """The job of a circuit, whichever part it measures."""
    return jobs().find((KIND, store, choice))


def start(store: Store, choice: Choice, experiment: Experiment, is_long: bool) -> Job:
    """The job that measures what is missing: what takes no pruning, and with ``is_long`` the rest.

    One for a circuit at a time, as both write the same file.
    """

    def work(report: ReportProgress, cancel: threading.Event) -> Evidence:
        return _Measuring(store, experiment, report, cancel).run(is_long)

    title = f"Evidence for {experiment.circuit.title}"
    return jobs().start((KIND, store, choice), title, work, again=True)


def missing(evidence: Evidence | None) -> tuple[str, ...]:
    """What only further pruning can tell, and nobody has asked yet."""
    if evidence is None:
        return NONSENSE, UNTRAINED, "stability"
    names = [name for name in (NONSENSE, UNTRAINED) if evidence.control(name) is None]
    return (*names, *(() if evidence.stability is not None else ("stability",)))


class _Measuring:
    """One job's work, part after part."""

    def __init__(
        self, store: Store, experiment: Experiment, report: ReportProgress, cancel: threading.Event
    ) -> None:
        self._store, self._experiment, self._report, self._cancel = (
            store,
            experiment,
            report,
            cancel,
        )
        self._progress = MeasuringProgress("Starting")

    def run(self, is_long: bool) -> Evidence:
        evidence = None
        if is_long:
            evidence = _read(self._store, self._experiment)
        parts = [name for name in missing(evidence) if is_long]
        of = len(parts) + (evidence is None)
        if evidence is None:
            self._begin("What needs no pruning", 1, of)
            evidence = self._kept(self._measured())
        for i, name in enumerate(parts, start=of - len(parts) + 1):
            self._begin(f"Pruning for {name}", i, of)
            evidence = self._kept(self._pruned(evidence, name))
        return evidence

    def _measured(self) -> Evidence:
        """Everything that takes no pruning; controls and stability that are there stay."""
        ranking, words = ranking_of(self._store, self._experiment, self._cancel)
        found = measure(
            self._experiment,
            ranking.order,
            words,
            progress=self._measuring_went_on,
            cancel=self._cancel,
        )
        before = _read(self._store, self._experiment)
        if before is None:
            return found
        for name in (NONSENSE, UNTRAINED):
            control = before.control(name)
            found = found if control is None else found.with_control(control)
        return dataclasses.replace(found, stability=before.stability)

    def _pruned(self, evidence: Evidence, name: str) -> Evidence:
        circuit, settings, task = (
            self._experiment.circuit,
            settings_of(self._experiment),
            self._task(),
        )
        device = str(self._experiment.model.device)
        if name == "stability":
            target = circuit.found.target
            k = circuit.size if target is None else None
            seen = stability(
                circuit.model,
                task,
                settings,
                target=target,
                k=k,
                seeds=SEEDS,
                means=self._experiment.means,
                report=self._pruning_went_on,
                cancel=self._cancel,
                device=device,
            )
            return dataclasses.replace(evidence, stability=seen)
        means = self._experiment.means
        subject = open_subject(
            circuit.model, task, settings, means=means, store=self._store, device=device
        )
        how = {"settings": settings, "report": self._pruning_went_on, "cancel": self._cancel}
        if name == NONSENSE:
            return evidence.with_control(nonsense_control(subject, circuit, **how))
        tokenizer = open_tokenizer(self._store, circuit.model)
        return evidence.with_control(untrained_control(subject, self._experiment, tokenizer, **how))

    def _task(self) -> Task:
        task = task_of(self._store, self._experiment.circuit)
        if task is None:
            title = self._experiment.circuit.title
            raise ValueError(
                f"{title} was not found here, and its file does not say how its prompts are made; "
                "the controls that prune again need a circuit found here"
            )
        return task

    def _kept(self, evidence: Evidence) -> Evidence:
        write_evidence(evidence, self._store, self._experiment.circuit)
        return evidence

    def _begin(self, words: str, part: int, of: int) -> None:
        self._progress = MeasuringProgress(words, part=(part, of))
        self._report(self._progress)

    def _measuring_went_on(self, done: int, of: int) -> None:
        self._report(dataclasses.replace(self._progress, done=done, of=of))

    def _pruning_went_on(self, snapshot: Snapshot) -> None:
        words = f"{self._progress.words}: {snapshot.nodes:,} nodes, loss {snapshot.loss:.3f} nats"
        known = snapshot.of if snapshot.stage == "masks" else 0
        self._report(MeasuringProgress(words, snapshot.done, known, self._progress.part))


def _read(store: Store, experiment: Experiment) -> Evidence | None:
    """What is stored; None for a damaged file too, as it is measured anew."""
    try:
        return read_evidence(store, experiment.circuit)
    except ValueError:
        return None
