"""``Cell``: one model, task and goal of a sweep, the settings around it, and one try at them."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from circuit_sparsity.circuits.circuit import total_nodes
from circuit_sparsity.core.checkpoint import read_config
from circuit_sparsity.experiment.opening import open_means, open_model, open_task
from circuit_sparsity.pruning.find import Cut, TargetNotReached, rank
from circuit_sparsity.pruning.request import PruneRequest, open_subject
from circuit_sparsity.pruning.settings import Goal, PruneSettings
from circuit_sparsity.store import Store, paths

SEARCHED = (  # the published search's; it gives centres, and a preset has them but for k_coef
    *("k_coef", "init_scale", "init_bias", "weight_decay"),
    *("learning_rate", "inv_beta2", "warm_up", "temperature"),
)
DECADE = 10.0  # a setting is searched up to so many times, and down to so much less


@dataclass(frozen=True)
class Cell:
    """What one search is about: the same cell gives the same tries to a single worker."""

    request: PruneRequest  # its settings are those searched around

    @property
    def name(self) -> str:
        """The folder's name: goal, seed and settings, which together make one search.

        >>> Cell(PruneRequest("starter", "single_double_quote", k=24)).name
        'k24_seed0'
        >>> Cell(PruneRequest("starter", "single_double_quote", target=0.15)).name
        'loss0.15_seed0'
        """
        settings, goal = self.request.settings, self.goal
        size = f"loss{goal.target:g}" if goal.k is None else f"k{goal.k}"
        way = settings.preset
        return f"{size}_seed{settings.seed}" + ("" if way == "fast" else f"_{way}")

    @property
    def title(self) -> str:
        goal = self.goal
        size = f"loss {goal.target:g} nats" if goal.k is None else f"{goal.k} nodes"
        return f"{self.request.model} · {self.request.task} · {size}"

    @property
    def goal(self) -> Goal:
        return Goal.of(self.request.target, self.request.k)

    def ranges(self) -> dict[str, tuple[float, float]]:
        """Lowest and highest value of each setting: a decade each way, fractions at most 1."""
        settings = self.request.settings
        centres = {name: getattr(settings, name) for name in SEARCHED}
        return {name: (x / DECADE, min(x * DECADE, _most(name))) for name, x in centres.items()}

    def settings(self, chosen: Mapping[str, float]) -> PruneSettings:
        return dataclasses.replace(self.request.settings, **chosen)

    def check(self, store: Store) -> None:
        """ValueError for a name that is unknown or a goal that the model cannot have."""
        request = self.request
        open_task(request.task)
        paths.checked(paths.viz_name(request.model, request.task, request.sweep, self.name))
        folder = store.path_of_model(request.model)
        if folder is None:
            open_model(store, request.model)  # says what is missing
            return
        open_means(store, request.model)
        most = total_nodes(read_config(folder / paths.CONFIG))
        if request.k is not None and not 1 <= request.k <= most:
            raise ValueError(
                f"circuits of {request.k} nodes were asked for; {request.model} has {most} nodes: "
                "choose a number from 1 to that"
            )
        if request.target is not None and not 0 < request.target < math.inf:
            raise ValueError(f"the target loss is {request.target}; expected more than 0 nats")


def _most(name: str) -> float:
    return math.inf if name in ("temperature", "k_coef") else 1.0


@dataclass(frozen=True)
class Tried:
    """What came of one set of settings. Losses are in nats per sequence."""

    nodes: int
    loss: float  # the larger of those on the evaluation and on the validation prompts
    value: float  # what the search makes small: the loss of k nodes, or the number of nodes
    reached: bool  # whether the target was


@dataclass(frozen=True)
class Job:
    """One try, as it is sent to a worker."""

    cell: Cell
    settings: PruneSettings


def attempt(job: Job) -> Tried:
    """Rank the nodes with the job's settings and cut them at the cell's goal; stores nothing.

    A target that no size reaches counts as more nodes than the model has, and as the more the
    further away it was.
    """
    torch.set_num_threads(1)  # one try to a core is faster than several cores to a try
    request, goal = job.cell.request, job.cell.goal
    subject = open_subject(request.model, request.task, job.settings, device=request.device)
    cut = Cut(subject, rank(subject, job.settings, goal))
    try:
        found = cut.circuit(goal, request.sweep)
    except TargetNotReached as missed:
        value = subject.layout.size * missed.lowest / goal.target
        return Tried(missed.nodes, missed.lowest, value, reached=False)
    loss = found.found.worst_loss
    assert loss is not None, "a circuit found here tells its losses"
    return Tried(found.size, loss, loss if goal.k is not None else float(found.size), reached=True)
