"""Further evidence: what the critics of circuits ask for, each part on its own."""

import dataclasses
import threading
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from circuit_sparsity.core.tokenizer import Tokenizer
from circuit_sparsity.evidence.adversary import BUDGETS, RANDOM_SETS, adversary
from circuit_sparsity.evidence.evidence import Evidence
from circuit_sparsity.evidence.measures import CONTROL_PAIRS, counted, first_pairs
from circuit_sparsity.evidence.reasons import reasons
from circuit_sparsity.evidence.resample import resample_ablation
from circuit_sparsity.evidence.rest import DRAWS, SHARES, part_of_rest
from circuit_sparsity.evidence.shortcuts import shortcuts
from circuit_sparsity.evidence.specific import specific
from circuit_sparsity.experiment.experiment import Experiment, Progress
from circuit_sparsity.pruning.request import document_windows
from circuit_sparsity.tasks import TASKS
from circuit_sparsity.tasks.task import Task

# By name of the part, how many steps it takes.
PARTS: Mapping[str, int] = MappingProxyType(
    {
        "shortcuts": 2,
        "rest": len(SHARES) * DRAWS,
        "resampled": 5,
        "adversary": len(BUDGETS) * (1 + RANDOM_SETS),
        "reasons": 2,
        "specific": len(TASKS),
    }
)


def measure_further(
    evidence: Evidence,
    experiment: Experiment,
    tokenizer: Tokenizer,
    task: Task | None = None,
    parts: Sequence[str] = tuple(PARTS),
    progress: Progress = lambda done, of: None,
    cancel: threading.Event | None = None,
) -> Evidence:
    """``evidence`` with more parts of it measured, in place of older ones.

    ``task`` is the circuit's own, without which there are no shortcuts (a released circuit's
    prompts are those of its file). Masked runs of the whole model are on the first 32 pairs.
    Raises ValueError for an unknown part and Cancelled when ``cancel`` is set meanwhile.
    """
    unknown = sorted(set(parts) - set(PARTS))
    if unknown:
        raise ValueError(
            f"there is no part of evidence {', '.join(unknown)}; there are: {', '.join(PARTS)}"
        )
    wanted = [name for name in PARTS if name in parts]
    if task is None:
        wanted = [name for name in wanted if name != "shortcuts"]
    step = counted(sum(PARTS[name] for name in wanted), progress, cancel)
    few, model = first_pairs(experiment, CONTROL_PAIRS), experiment.model
    measured: Mapping[str, Callable[[], object]] = {
        "shortcuts": lambda: task and shortcuts(task, tokenizer, model.config.block_size, step),
        "rest": lambda: part_of_rest(few, step=step),
        "resampled": lambda: resample_ablation(few, document_windows(model, tokenizer), step),
        "adversary": lambda: adversary(few, step=step),
        "reasons": lambda: reasons(few, step),
        "specific": lambda: specific(few, TASKS, tokenizer, step),
    }
    return dataclasses.replace(evidence, **{name: measured[name]() for name in wanted})
