"""What a recipe does to a circuit: each step alone, step by step, and all together."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, get_args

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.circuits.recipe import Recipe, Step
from circuit_sparsity.experiment.experiment import Effect, Experiment, Outcome, faithfulness
from circuit_sparsity.experiment.opening import batch_of_tests, open_task, open_tokenizer
from circuit_sparsity.runtime.interventions import hook_changed, part_of
from circuit_sparsity.store import Store
from circuit_sparsity.tasks.task import Pair, Prompt, encode, task_context


@dataclass(frozen=True)
class StepEffect:
    """Rises of the mean task loss over the circuit's own, in nats per sequence."""

    step: Step
    alone: float
    so_far: float  # with all the steps before it


@dataclass(frozen=True)
class RecipeEffect(Effect):
    """A recipe carried out: ``after`` has all its steps, ``before`` none."""

    steps: tuple[StepEffect, ...] = ()

    @cached_property
    def alone(self) -> float:
        """The sum of what each step does alone, in nats per sequence."""
        return sum(step.alone for step in self.steps)

    @property
    def interaction(self) -> float:
        """What the steps do together less the sum of what each does alone: 0 if they are apart."""
        return self.delta - self.alone


def effects(experiment: Experiment, recipe: Recipe) -> RecipeEffect:
    """The recipe as a whole, as by ``Experiment.apply``, each step alone, and all beginnings.

    Raises ValueError for a part that the circuit does not have.
    """
    changes, before = experiment.interventions(recipe), experiment.of_circuit
    alone = experiment.outcomes([[change] for change in changes])
    so_far = experiment.outcomes([changes[: i + 1] for i in range(len(changes))])
    found = [
        StepEffect(step, one.loss - before.loss, many.loss - before.loss)
        for step, one, many in zip(recipe, alone, so_far, strict=True)
    ]
    parts, after = tuple(map(part_of, changes)), so_far[-1] if so_far else before
    return RecipeEffect(parts, before, after, tuple(found))


def in_whole_model(experiment: Experiment, recipe: Recipe) -> Outcome:
    """The whole model with only what the recipe names changed: are these parts necessary?

    What a step takes from another prompt is what the part is in the whole model there.
    Where it names all nodes of the circuit at their means, this is the circuit's necessity
    (METHOD section 5). Raises ValueError for a part that the circuit does not have.
    """
    changes = experiment.interventions(recipe, whole_model=True)
    return experiment.run(None, hook_changed(None, experiment.model, experiment.means, changes))


def faithfulness_of(experiment: Experiment, outcome: Outcome) -> float | None:
    """(m(C') - m(nothing)) / (m(M) - m(nothing)), m the mean task loss of ``experiment``.

    1 is the whole model, 0 the circuit that keeps nothing; None where the two are as good as each
    other (METHOD section 5).
    """
    (nothing,) = experiment.compiled.losses_without([experiment.circuit.node_list])
    return faithfulness(outcome.loss, experiment.of_model.loss, Outcome(nothing).loss)


Where = Literal["own", "pair", "text", "task"]
TASK_PAIRS = 32  # of another task


@dataclass(frozen=True)
class OtherPrompts:
    """Which prompts a recipe is replayed on; "own" are the circuit's."""

    where: Where = "own"
    pair: int = 0  # of the circuit's prompts, from 0
    text: tuple[Prompt, Prompt] | None = None
    task: str = ""

    def __post_init__(self) -> None:
        if self.where not in get_args(Where):
            known = ", ".join(get_args(Where))
            raise ValueError(f"prompts are taken from {self.where!r}; expected one of {known}")
        if self.where == "text" and self.text is None:
            raise ValueError("prompts are taken from a text, and none is given: give two prompts")

    def take(self, experiment: Experiment, store: Store | None = None) -> Experiment:
        """The circuit on these prompts. Raises ValueError for a pair, text or task that is none."""
        if self.where == "pair":
            return on_pair(experiment, self.pair)
        if self.text is not None and self.where == "text":
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


_WRAPS = {"pair": "on_pair", "text": "on_text", "task": "on_task"}


def snippet(circuit: Circuit, recipe: Recipe, prompts: OtherPrompts | None = None) -> str:
    """Python that opens the circuit, carries out the recipe, and prints the rise of the loss.

    It prints the change of the mean task loss in nats per sequence, with sign and six digits.
    """
    prompts = prompts or OtherPrompts()
    wrap = _WRAPS.get(prompts.where)
    names = ", ".join(repr(n) for n in (circuit.model, circuit.task, circuit.sweep, circuit.k))
    steps = "".join(f"    {str(step)!r},\n" for step in recipe)
    lines = [
        "from circuit_sparsity.experiment.opening import open_circuit",
        "from circuit_sparsity.circuits.recipe import Recipe",
        *([f"from circuit_sparsity.experiment.recipes import {wrap}"] if wrap else []),
        *(["from circuit_sparsity.tasks.task import Prompt"] if wrap == "on_text" else []),
        "",
        f"circuit = open_circuit({names})",
        *([f"circuit = {wrap}(circuit, {_arguments(prompts)})"] if wrap else []),
        f"recipe = Recipe.parse([\n{steps}])",
        'print(f"{circuit.apply(recipe).delta:+.6f}")  # rise of the loss, nats per sequence',
    ]
    return "\n".join(lines) + "\n"


def _arguments(prompts: OtherPrompts) -> str:
    if prompts.where == "pair":
        return str(prompts.pair)
    if prompts.where == "task":
        return repr(prompts.task)
    assert prompts.text is not None, "a replay on texts has them"
    return ", ".join(map(repr, prompts.text))
