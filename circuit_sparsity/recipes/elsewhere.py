"""The same circuit and recipe on other prompts: one pair, a text of one's own, another task."""

from dataclasses import dataclass, replace
from typing import Literal

from circuit_sparsity.experiment import Experiment
from circuit_sparsity.opening import batch_of_tests, open_task, open_tokenizer
from circuit_sparsity.store import Store
from circuit_sparsity.tasks.task import Pair, Prompt, encode, task_context

Where = Literal["own", "pair", "text", "task"]
TASK_PAIRS = 32  # of another task


@dataclass(frozen=True)
class Elsewhere:
    """Which prompts a recipe is replayed on; "own" are the circuit's."""

    where: Where = "own"
    pair: int = 0  # of the circuit's prompts, from 0
    text: tuple[Prompt, Prompt] | None = None
    task: str = ""

    def take(self, experiment: Experiment, store: Store | None = None) -> Experiment:
        """The circuit on these prompts. Raises ValueError for a pair, text or task that is none."""
        if self.where == "pair":
            return on_pair(experiment, self.pair)
        if self.where == "text" and self.text is not None:
            return on_text(experiment, *self.text, store=store)
        if self.where == "task":
            return on_task(experiment, self.task, store=store)
        return experiment


def on_pair(experiment: Experiment, pair: int) -> Experiment:
    """The circuit on one pair of its own prompts, counted from 0."""
    pairs = experiment.batch.n_pairs
    if not 0 <= pair < pairs:
        raise ValueError(f"there is no pair {pair} of prompts; there are {pairs}, counted from 0")
    name = f"pair {pair + 1} of {experiment.batch_name}"
    return replace(experiment, batch=experiment.batch.select([pair]), batch_name=name)


def on_text(
    experiment: Experiment, first: Prompt, second: Prompt, store: Store | None = None
) -> Experiment:
    """The circuit on two prompts of one's own, each with its right and its wrong continuation.

    Raises ValueError for what the tokenizer cannot tell apart and for a prompt that is too long.
    """
    tokenizer = open_tokenizer(store or Store.from_environment(), experiment.circuit.model)
    context = task_context(experiment.model.config.block_size)
    batch = encode([Pair(first, second)], tokenizer, context, cut=False)
    return replace(experiment, batch=batch, batch_name="two prompts of your own")


def on_task(
    experiment: Experiment, task: str, pairs: int = TASK_PAIRS, store: Store | None = None
) -> Experiment:
    """The circuit on the test split of another task, which it was not found for."""
    tokenizer = open_tokenizer(store or Store.from_environment(), experiment.circuit.model)
    batch = batch_of_tests(open_task(task), tokenizer, experiment.model, pairs)
    name = f"{len(batch)} prompts of {task}, test split"
    return replace(experiment, batch=batch, batch_name=name)
