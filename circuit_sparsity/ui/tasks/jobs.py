"""Measuring a model on the tasks as a job that outlives the page."""

import threading
from collections.abc import Mapping

from circuit_sparsity.experiment.experiment import Cancelled
from circuit_sparsity.experiment.opening import open_model, open_tokenizer
from circuit_sparsity.experiment.scores import PAIRS, Score, kinds_of, score
from circuit_sparsity.store import Store
from circuit_sparsity.tasks.task import Task
from circuit_sparsity.ui.shell.cached import Stamp
from circuit_sparsity.ui.shell.jobs import Job, Report, jobs

KIND = "tasks"

Scores = Mapping[str, Mapping[str, Score]]  # by task, then by kind of structure


def find(store: Store, model: str, version: Stamp) -> Job | None:
    """The job that measures this version of a model."""
    return jobs().find((KIND, store, model, version))


def start(store: Store, model: str, version: Stamp, tasks: tuple[Task, ...]) -> Job:
    """The job whose result are the scores of every task, on `PAIRS` pairs of each kind.

    It reads the model itself: the first one of a process takes long, and a button must not wait.
    """

    def work(report: Report, cancel: threading.Event) -> Scores:
        report((0, len(tasks), "reading the model"))
        opened = open_model(store, model), open_tokenizer(store, model)
        found: dict[str, dict[str, Score]] = {}
        for done, task in enumerate(tasks):
            report((done, len(tasks), task.name))
            if cancel.is_set():
                raise Cancelled(f"stopped after {done} of {len(tasks)} tasks")
            found[task.name] = {kind: score(*opened, task, kind, PAIRS) for kind in kinds_of(task)}
        return found

    return jobs().start((KIND, store, model, version), f"Tasks of {model}", work, again=True)
