"""What a circuit is asked for: the right answer, or the answer that its model gives."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from circuit_sparsity.pruning.answers import Evaluation
from circuit_sparsity.pruning.settings import OBJECTIVES
from circuit_sparsity.pruning.subject import Subject
from circuit_sparsity.tasks.task import TaskBatch

Margins = Float[Tensor, "*set prompt"]  # logit of the right answer less that of the wrong one


@dataclass(frozen=True)
class Objective:
    """Of margins, a loss of each prompt in nats.

    ``task``: cross-entropy of the right answer against the wrong one. ``kl``: Kullback-Leibler
    divergence of the circuit's two answers from the model's, 0 where both are equally sure.
    """

    name: str = OBJECTIVES[0]

    def __post_init__(self) -> None:
        if self.name not in OBJECTIVES:
            raise ValueError(f"objective is {self.name!r}; expected one of {', '.join(OBJECTIVES)}")

    def __call__(self, margins: Margins, of_model: Float[Tensor, " prompt"] | None) -> Margins:
        """Losses of ``margins``; those of the whole model are needed for ``kl``."""
        if self.name == "task":
            return F.softplus(-margins)
        assert of_model is not None, "a divergence is from the model's margins"
        right = torch.sigmoid(of_model)
        cross = right * F.softplus(-margins) + (1 - right) * F.softplus(margins)
        own = right * F.softplus(-of_model) + (1 - right) * F.softplus(of_model)
        return cross - own

    def reference(self, subject: Subject, batch: TaskBatch) -> Float[Tensor, " prompt"] | None:
        """The whole model's margins on ``batch``, where this objective compares with them."""
        if self.name == "task":
            return None
        everything = torch.ones(subject.layout.size, dtype=torch.bool)
        return Evaluation(subject, batch).margins(everything).cpu()
