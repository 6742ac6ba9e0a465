"""What a circuit is asked for: the right answer, or the answer that its model gives."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from circuit_sparsity.pruning.answers import Evaluation
from circuit_sparsity.pruning.settings import OBJECTIVES
from circuit_sparsity.pruning.subject import Subject
from circuit_sparsity.tasks.task import TaskBatch

Margins = Float[Tensor, "*set prompt"]  # logit of the right answer less that of the wrong one


class Objective:
    """Of margins, a loss of each prompt in nats.

    ``task``: cross-entropy of the right answer against the wrong one. ``kl``: Kullback-Leibler
    divergence of the circuit's two answers from the model's, 0 where both are equally sure.
    """

    def __init__(self, name: str = OBJECTIVES[0]) -> None:
        if name not in OBJECTIVES:
            raise ValueError(f"objective is {name!r}; expected one of {', '.join(OBJECTIVES)}")
        self.name = name
        self._known: dict[int, tuple[TaskBatch, Float[Tensor, " prompt"]]] = {}  # by identity

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
        if id(batch) not in self._known:
            everything = torch.ones(subject.layout.size, dtype=torch.bool)
            margins = Evaluation(subject, batch).margins(everything).cpu()
            self._known[id(batch)] = batch, margins  # the batch too: it must outlive its id
        return self._known[id(batch)][1]
