"""Resample ablation: what is outside the circuit does what it does on other text.

A mean is an activation that the model may never have. Here everything outside takes, channel by
channel, the values that it has in the whole model on another prompt: of the task, of the pair's
other side, or of held-out text. Positions are counted from the last token.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Int
from torch import Tensor

from circuit_sparsity.circuits.means import zeros
from circuit_sparsity.core.hooks import Hook, Recorder
from circuit_sparsity.experiment.experiment import Experiment, Outcome
from circuit_sparsity.runtime.ablation import answer_logits
from circuit_sparsity.tasks.task import two_way_loss

AT_ONCE = 16  # prompts
SEED = 0
OTHER_PROMPTS, OTHER_SIDE, OTHER_TEXT = "other prompts", "the pair's other prompt", "held-out text"


@dataclass(frozen=True)
class Resampled:
    """The circuit's loss by what the rest is held at, in nats per sequence."""

    prompts: str  # in words
    losses: Mapping[str, float]  # mean and zero among them

    @property
    def words(self) -> str:
        """One line for a reader."""
        return "loss with the rest at " + ", ".join(
            f"{name}: {loss:.4f}" for name, loss in self.losses.items()
        )


@torch.no_grad()
def resample_ablation(
    experiment: Experiment,
    windows: Int[Tensor, "window pos"] | None = None,
    step: Callable[[], None] = lambda: None,
) -> Resampled:
    """The circuit with the rest at its mean, at zero, and at values from other text.

    ``windows`` is held-out text; without it that way is left out. Other prompts are a seeded
    shuffle of all, so half of them have the other answer. ``step`` is called before each way.
    """
    batch, n = experiment.batch, experiment.batch.n_pairs
    generator = torch.Generator().manual_seed(SEED)
    order = torch.randperm(len(batch), generator=generator)
    rows = torch.arange(len(batch))
    other_side = torch.cat((rows[n:], rows[:n]))
    step()
    losses = {"mean": experiment.of_circuit.loss}
    step()
    nothing = replace(experiment, means=zeros(experiment.model.config))
    losses["zero"] = nothing.run(experiment.alive).loss
    step()
    losses[OTHER_PROMPTS] = _loss(experiment, batch.tokens[order], batch.last[order])
    step()
    losses[OTHER_SIDE] = _loss(experiment, batch.tokens[other_side], batch.last[other_side])
    if windows is not None:
        step()
        chosen = windows[rows % len(windows)].long()
        last = torch.full((len(batch),), windows.shape[1] - 1)
        losses[OTHER_TEXT] = _loss(experiment, chosen, last)
    return Resampled(experiment.batch_name, losses)


def _loss(
    experiment: Experiment, tokens: Int[Tensor, "prompt pos"], last: Int[Tensor, " prompt"]
) -> float:
    """The circuit's loss with the rest as it is on ``tokens``, which end at ``last``."""
    batch, losses = experiment.batch, list[Tensor]()
    for some in torch.arange(len(batch)).split(AT_ONCE):
        source = Recorder()
        experiment.model.residual(tokens[some], source)
        here = batch.last[some]
        # Token p of a prompt takes what stands as far from the end of the other text.
        places = torch.arange(batch.tokens.shape[1])[None] + (last[some] - here)[:, None]
        places = places.clamp(0, tokens.shape[1] - 1)  # prompt pos
        hook = _filled_from(experiment, source.tensors, places)
        logits = answer_logits(experiment.model, batch.tokens[some], here, hook)
        losses.append(two_way_loss(logits, batch.right[some], batch.wrong[some]))
    return Outcome(torch.cat(losses)).loss


def _filled_from(
    experiment: Experiment, source: Mapping[str, Tensor], places: Int[Tensor, "prompt pos"]
) -> Hook:
    kept = {str(place): mask for place, mask in experiment.alive.items()}
    rows = torch.arange(len(places))[:, None]

    def hook(name: str, x: Tensor) -> Tensor:
        mask = kept.get(name)
        return x if mask is None else torch.where(mask, x, source[name][rows, places])

    return hook
