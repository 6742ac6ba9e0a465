"""``Subject``: what is pruned and on what, with everything that does not change between steps."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuit_sparsity.circuits.means import Means
from circuit_sparsity.circuits.node_vector import Layout
from circuit_sparsity.core.model import GPT
from circuit_sparsity.core.tokenizer import Tokenizer
from circuit_sparsity.pruning.settings import PruneSettings
from circuit_sparsity.runtime.gated_model import GatedModel, fits
from circuit_sparsity.tasks.task import Task, TaskBatch, encode, pairs_up_to, task_context

POOL_PAIRS = 512  # of the task's pruning split, from which every step draws
EVALUATION_SEED = 1


@dataclass(frozen=True, eq=False)
class Subject:
    """A frozen model, its reference means, and a task's prompts.

    Steps draw from ``prompts``. How many nodes stay is decided on ``evaluation``, and on
    ``validation`` as well where there are such prompts: a circuit meets a target on both.
    """

    model: GPT
    means: Means
    prompts: TaskBatch
    evaluation: TaskBatch
    model_name: str
    task_name: str
    validation: TaskBatch | None = None
    means_over: str | None = None  # what text the means are over, if they are not the model's own

    def __post_init__(self) -> None:
        self.means.check(self.model.config)
        batches = (self.prompts, self.evaluation, self.validation or self.prompts)
        longest = max(batch.tokens.shape[1] for batch in batches)
        if longest > self.model.config.block_size:
            raise ValueError(
                f"a prompt of {self.task_name} has {longest} tokens; the context of "
                f"{self.model_name} is {self.model.config.block_size}: cut the prompts to it"
            )

    @classmethod
    def of_task(
        cls,
        model: GPT,
        means: Means,
        tokenizer: Tokenizer,
        task: Task,
        model_name: str,
        settings: PruneSettings,
        means_over: str | None = None,
    ) -> "Subject":
        """A model on a task. Steps draw from pairs of its pruning split; how many nodes stay is
        decided on other pairs of that split and on the validation split, whose structures are
        others too, and which are the same for every seed.
        """

        def drawn(split: str, n: int, seed: int) -> TaskBatch:
            context = task_context(model.config.block_size)
            return encode(pairs_up_to(task, split, n, seed), tokenizer, context)

        n = settings.evaluation_pairs
        prompts = drawn("prune", POOL_PAIRS, settings.seed + 2)
        evaluation = drawn("prune", n, EVALUATION_SEED)
        validation = drawn("validation", n, EVALUATION_SEED)
        names = model_name, task.name
        return cls(model, means, prompts, evaluation, *names, validation, means_over)

    @cached_property
    def layout(self) -> Layout:
        return Layout(self.model.config)

    @property
    def device(self) -> torch.device:
        return self.model.lm_head.weight.device

    @cached_property
    def mean_vector(self) -> Float[Tensor, " node"]:
        return self.layout.join(self.means.values).float().to(self.device)

    @cached_property
    def panels(self) -> GatedModel | None:
        """The model over compressed weights, ready to be cut down; None where it is dense."""
        return GatedModel(self.model, self.mean_vector) if fits(self.model) else None

    @cached_property
    def readout(self) -> Bool[Tensor, " d_model"]:
        """Channels of the final residual stream that tell the answers of some prompt apart."""
        answers = [torch.stack((b.right, b.wrong)) for b in (self.prompts, self.evaluation)]
        right, wrong = torch.cat(answers, dim=1).unique(dim=1).to(self.device)
        rows = self.model.lm_head.weight.detach()
        return (rows[right] != rows[wrong]).any(dim=0).cpu()
