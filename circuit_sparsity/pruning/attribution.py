"""Rank nodes by one backward pass: what holding a node at its mean would do, to first order."""

import threading
import time

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuit_sparsity.core.hooks import Recorder
from circuit_sparsity.experiment.experiment import Cancelled
from circuit_sparsity.kernels.gates import score
from circuit_sparsity.pruning.answers import by_length, margins
from circuit_sparsity.pruning.ranking import Ranking
from circuit_sparsity.pruning.settings import PruneSettings
from circuit_sparsity.pruning.subject import Subject
from circuit_sparsity.tasks.task import TaskBatch

SUGGESTED = 256  # a size of the order that attribution needs, where the bisection looks first


def attribute(
    subject: Subject,
    settings: PruneSettings,
    cancel: threading.Event | None = None,
    first: Bool[Tensor, " node"] | None = None,
) -> Ranking:
    """Nodes ranked by |(activation - mean) · gradient of the margin|, summed over the prompts.

    The gradient is that of the margin, not of the loss: where the model is sure of its answer the
    loss is flat. Nodes that are ``first`` come before all others. Raises Cancelled when ``cancel``
    is set meanwhile.
    """
    started = time.monotonic()
    batch = subject.prompts.select(range(min(settings.pairs, subject.prompts.n_pairs)))
    scores = torch.zeros(subject.layout.size)
    for part in by_length(batch, device=subject.device):
        if cancel is not None and cancel.is_set():
            raise Cancelled("stopped before every prompt was looked at")
        scores += _in_panels(subject, part) if subject.panels is not None else _dense(subject, part)
    suggested = min(SUGGESTED, subject.layout.size)
    if first is not None:
        scores, suggested = scores + first * (scores.max() + 1), max(1, int(first.sum()))
    return Ranking(scores, suggested, settings, (), time.monotonic() - started)


def _in_panels(subject: Subject, batch: TaskBatch) -> Float[Tensor, " node"]:
    assert subject.panels is not None, "the model does not compute in panels"
    gate = torch.ones(subject.layout.size, requires_grad=True)
    total = subject.panels.run().margins(gate, batch, score).sum()
    return torch.autograd.grad(total, gate)[0]


def _dense(subject: Subject, batch: TaskBatch) -> Float[Tensor, " node"]:
    recorder = _Leafy()
    total = margins(subject.model, batch, recorder).sum()
    found = [recorder.tensors[str(place)] for place in subject.layout.locations]
    slopes = torch.autograd.grad(total, found)
    means = subject.layout.split(subject.mean_vector).values()
    return torch.cat([_score(*three) for three in zip(found, slopes, means, strict=True)]).cpu()


@torch.no_grad()
def _score(
    x: Float[Tensor, "prompt pos width"],
    slope: Float[Tensor, "prompt pos width"],
    mean: Float[Tensor, " width"],
) -> Float[Tensor, " width"]:
    return ((x - mean) * slope).abs().flatten(0, 1).sum(dim=0)


class _Leafy(Recorder):
    """A recorder whose first tensor starts the graph: the model's parameters are frozen."""

    def __call__(self, name: str, x: Tensor) -> Tensor:
        return super().__call__(name, x if x.requires_grad else x.requires_grad_())
