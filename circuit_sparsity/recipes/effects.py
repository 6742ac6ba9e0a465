"""What a recipe does to a circuit: each step alone, step by step, and all together."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from torch.nn import functional as F

from circuit_sparsity.circuits.compiled.changed import Change, hook_changed, margins_changed
from circuit_sparsity.circuits.recipe import Recipe, Step
from circuit_sparsity.evidence.curves import faithfulness
from circuit_sparsity.experiment import Experiment, Outcome


@dataclass(frozen=True)
class StepEffect:
    """Rises of the mean task loss over the circuit's own, in nats per sequence."""

    step: Step
    alone: float
    so_far: float  # with all the steps before it


@dataclass(frozen=True)
class RecipeEffect:
    """A recipe carried out: ``after`` has all its steps, ``before`` none."""

    recipe: Recipe
    before: Outcome
    after: Outcome
    steps: tuple[StepEffect, ...] = ()  # empty where only the whole was asked for

    @property
    def delta(self) -> float:
        """Rise of the mean task loss, in nats per sequence."""
        return self.after.loss - self.before.loss

    @cached_property
    def alone(self) -> float:
        """The sum of what each step does alone, in nats per sequence."""
        return sum(step.alone for step in self.steps)

    @property
    def interaction(self) -> float:
        """What the steps do together less the sum of what each does alone: 0 if they are apart."""
        return self.delta - self.alone


def apply(experiment: Experiment, recipe: Recipe) -> RecipeEffect:
    """The recipe as a whole. Raises ValueError for a part that the circuit does not have."""
    (after,) = _outcomes(experiment, [changes_of(experiment, recipe)])
    return RecipeEffect(recipe, experiment.of_circuit, after)


def effects(experiment: Experiment, recipe: Recipe) -> RecipeEffect:
    """The recipe as a whole, each of its steps alone, and all its beginnings."""
    changes, before = changes_of(experiment, recipe), experiment.of_circuit
    alone = _outcomes(experiment, [[change] for change in changes])
    so_far = _outcomes(experiment, [changes[: i + 1] for i in range(len(changes))])
    found = [
        StepEffect(step, one.loss - before.loss, many.loss - before.loss)
        for step, one, many in zip(recipe, alone, so_far, strict=True)
    ]
    return RecipeEffect(recipe, before, so_far[-1] if so_far else before, tuple(found))


def in_whole_model(experiment: Experiment, recipe: Recipe) -> Outcome:
    """The whole model with only what the recipe names changed: are these parts necessary?

    Where it names all nodes of the circuit at their means, this is the circuit's necessity
    (METHOD section 5). Raises ValueError for a part that the circuit does not have.
    """
    changes = changes_of(experiment, recipe)
    return experiment.run(None, hook_changed(None, experiment.model, experiment.means, changes))


def faithfulness_of(experiment: Experiment, outcome: Outcome) -> float | None:
    """(m(C') - m(nothing)) / (m(M) - m(nothing)), m the mean task loss of ``experiment``.

    1 is the whole model, 0 the circuit that keeps nothing; None where the two are as good as each
    other (METHOD section 5).
    """
    (nothing,) = experiment.compiled.losses_without([experiment.circuit.node_list])
    return faithfulness(outcome.loss, experiment.of_model.loss, Outcome(nothing).loss)


def changes_of(experiment: Experiment, recipe: Recipe) -> list[Change]:
    """Each part that the recipe names, and its level; ValueError for one the circuit has not."""
    return [(experiment.part(step.name), step.level) for step in recipe]


def _outcomes(experiment: Experiment, sets: Sequence[Sequence[Change]]) -> list[Outcome]:
    margins = margins_changed(experiment.compiled, sets)
    return [Outcome(losses) for losses in F.softplus(-margins)]
