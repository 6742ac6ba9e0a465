"""Specific: what the model without this circuit does on the other tasks that it can do."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from circuit_sparsity.core.tokenizer import Tokenizer
from circuit_sparsity.experiment.experiment import Experiment
from circuit_sparsity.experiment.opening import batch_of_tests
from circuit_sparsity.tasks.task import Task

PAIRS = 32  # of each task
SOLVED = 0.9  # accuracy of the whole model from which a task counts


@dataclass(frozen=True)
class OnTask:
    """The model on a task, whole and without a circuit; losses in nats per sequence."""

    task: str
    accuracy: float  # of the whole model
    model_loss: float
    necessity: float  # the loss without the circuit

    @property
    def rise(self) -> float:
        return self.necessity - self.model_loss


@dataclass(frozen=True)
class Specific:
    """A row of the matrix of circuits by tasks; the first is the circuit's own task."""

    tasks: tuple[OnTask, ...]

    @property
    def trouble(self) -> str | None:
        """What is wrong where another task suffers more; None where none does."""
        own = self.tasks[0]
        worst = max(self.tasks, key=lambda one: one.rise)
        if worst.rise <= own.rise:
            return None
        return (
            f"Without the circuit the loss rises by {own.rise:.4f} nats on {own.task} and by "
            f"{worst.rise:.4f} on {worst.task}: it is not specific to its task"
        )


def specific(
    experiment: Experiment,
    tasks: Mapping[str, Task],
    tokenizer: Tokenizer,
    step: Callable[[], None] = lambda: None,
    pairs: int = PAIRS,
) -> Specific:
    """Necessity of the circuit for its own task and for others that the model solves.

    Tasks that the whole model answers less than 90% right are left out, the own one never.
    ``step`` is called before each task.
    """
    own = experiment.circuit.task
    found: list[OnTask] = []
    for name in (own, *(name for name in tasks if name != own)):
        step()
        here = experiment
        if name in tasks:
            batch = batch_of_tests(tasks[name], tokenizer, experiment.model, pairs)
            here = dataclasses.replace(experiment, batch=batch, batch_name=name)
        whole = here.of_model
        if name == own or whole.accuracy >= SOLVED:
            found.append(OnTask(name, whole.accuracy, whole.loss, here.of_complement.loss))
    return Specific(tuple(found))
