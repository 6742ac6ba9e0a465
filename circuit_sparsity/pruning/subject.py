"""``Subject``: what is pruned and on what, with everything that does not change between steps."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuit_sparsity.circuits.means import Means
from circuit_sparsity.model import GPT
from circuit_sparsity.pruning.layout import Layout
from circuit_sparsity.tasks.task import TaskBatch


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
