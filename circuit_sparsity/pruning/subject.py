"""``Subject``: what is pruned and on what, with everything that does not change between steps."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuit_sparsity.circuits.means import Means
from circuit_sparsity.model import GPT
from circuit_sparsity.pruning.layout import Layout
from circuit_sparsity.pruning.settings import PruneSettings
from circuit_sparsity.tasks.task import Task, TaskBatch, encode, task_context
from circuit_sparsity.tokenizer import Tokenizer

POOL_PAIRS = 512  # of the task's pruning split, from which every step draws
PROMPT_SEED = 0  # one pool for all seeds of a pruning, so that their circuits compare


@dataclass(frozen=True, eq=False)
class Subject:
    """A frozen model, its reference means, and a task's prompts.

    Steps draw from ``prompts``; how many nodes stay is decided on ``evaluation``.
    """

    model: GPT
    means: Means
    prompts: TaskBatch
    evaluation: TaskBatch
    model_name: str
    task_name: str

    def __post_init__(self) -> None:
        self.means.check(self.model.config)
        longest = max(self.prompts.tokens.shape[1], self.evaluation.tokens.shape[1])
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
    ) -> "Subject":
        """A model on a task's pruning split; evaluated on the first pairs of what it prunes on."""
        wanted = max(POOL_PAIRS, settings.evaluation_pairs)
        pairs = task.pairs("prune", wanted, PROMPT_SEED)
        prompts = encode(pairs, tokenizer, task_context(model.config.block_size))
        evaluation = prompts.select(range(settings.evaluation_pairs))
        return cls(model, means, prompts, evaluation, model_name, task.name)

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
    def readout(self) -> Bool[Tensor, " d_model"]:
        """Channels of the final residual stream that tell the answers of some prompt apart."""
        answers = [torch.stack((b.right, b.wrong)) for b in (self.prompts, self.evaluation)]
        right, wrong = torch.cat(answers, dim=1).unique(dim=1).to(self.device)
        rows = self.model.lm_head.weight.detach()
        return (rows[right] != rows[wrong]).any(dim=0).cpu()
