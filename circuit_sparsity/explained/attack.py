"""How a model and its circuit answer as an attack gets stronger."""

import dataclasses
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from circuit_sparsity.core.tokenizer import Tokenizer
from circuit_sparsity.experiment.experiment import Cancelled, Experiment, Outcome, Progress
from circuit_sparsity.tasks.attacks import brackets_in_comments, longer_lists, marks_in_strings
from circuit_sparsity.tasks.task import Pair, encode, task_context

PAIRS = 32  # at each strength


@dataclass(frozen=True)
class Attack:
    """Prompts that get harder for one mechanism while the question stays the same."""

    name: str
    task: str
    summary: str
    strength: str  # what the numbers count
    strengths: tuple[int, ...]
    pairs: Callable[[int, int, int], tuple[Pair, ...]]  # of strength, how many, seed
    classes: tuple[str, str]  # the right answers of positive and negative prompts, in words


_OF_BRACKETS = ("nested: `]]`", "flat: `]`")
_ALL = (
    Attack(
        "longer lists",
        "bracket_counting",
        "An average over the context is diluted by a long list.",
        "elements of the list",
        (3, 5, 8, 12, 16, 24, 32, 48, 64, 80, 100),
        longer_lists,
        _OF_BRACKETS,
    ),
    Attack(
        "brackets in a comment",
        "bracket_counting",
        "An average over the context counts brackets that open in a comment, too.",
        "unmatched brackets in an earlier comment",
        (0, 1, 2, 3, 4, 6, 8),
        brackets_in_comments,
        _OF_BRACKETS,
    ),
    Attack(
        "the other mark inside",
        "single_double_quote",
        "A search for quotation marks finds one inside the string, such as an apostrophe.",
        "marks of the other kind inside the string",
        (0, 1, 2, 3),
        marks_in_strings,
        ("single: `')`", 'double: `")`'),
    ),
)
ATTACKS: Mapping[str, Attack] = MappingProxyType({attack.name: attack for attack in _ALL})


@dataclass(frozen=True)
class Answers:
    """Mean probability of the right answer against the wrong one, of both kinds of prompt."""

    positive: float
    negative: float

    @classmethod
    def of(cls, outcome: Outcome) -> "Answers":
        p = (-outcome.losses).exp()
        half = len(p) // 2
        return cls(float(p[:half].mean()), float(p[half:].mean()))


@dataclass(frozen=True)
class Strength:
    """Both answers at one strength of an attack."""

    strength: int
    prompts: int
    model: Answers
    circuit: Answers


def attack_curve(
    experiment: Experiment,
    tokenizer: Tokenizer,
    attack: Attack,
    strengths: Sequence[int] | None = None,
    pairs: int = PAIRS,
    seed: int = 0,
    progress: Progress = lambda done, of: None,
    cancel: threading.Event | None = None,
) -> tuple[Strength, ...]:
    """Model and circuit on ``pairs`` seeded pairs at each strength that fits the model's context.

    Prompts that are too long for the context end the curve. Raises ValueError when the circuit
    is not one of the attack's task, Cancelled when ``cancel`` is set meanwhile.
    """
    task = experiment.circuit.task.removesuffix("_beeg")
    if task != attack.task:
        raise ValueError(f"{attack.name} attacks circuits of {attack.task}; this one is of {task}")
    context = task_context(experiment.model.config.block_size)
    wanted = tuple(strengths or attack.strengths)
    curve: list[Strength] = []
    for done, strength in enumerate(wanted):
        if cancel is not None and cancel.is_set():
            raise Cancelled(f"stopped after {done} of {len(wanted)} strengths")
        made = attack.pairs(strength, pairs, seed)
        longest = max(len(tokenizer.encode(p.positive.text + p.positive.right)) for p in made)
        if longest > context:
            break
        batch = encode(made, tokenizer, context, cut=False)
        experiment = dataclasses.replace(experiment, batch=batch, batch_name=attack.name)
        curve.append(
            Strength(
                strength,
                len(batch),
                Answers.of(experiment.of_model),
                Answers.of(experiment.of_circuit),
            )
        )
        progress(done + 1, len(wanted))
    return tuple(curve)
