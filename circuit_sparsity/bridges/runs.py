"""A model run on some prompts again and again, each time from where an edit begins.

What stands before the first edited site is computed once. An edit of the last MLP alone is computed
at each prompt's last token alone, which is all that the answer depends on there; not where a top-k
cuts stream and position channels together before that MLP, as single tokens are run without their
own positions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from circuit_sparsity.bridges.bridge import Site
from circuit_sparsity.bridges.hybrids import Entering
from circuit_sparsity.core.hooks import Hook, Recorder, chain
from circuit_sparsity.core.model import GPT
from circuit_sparsity.experiment.experiment import Outcome
from circuit_sparsity.tasks.task import TaskBatch, two_way_loss


@dataclass(frozen=True, eq=False)
class Addition:
    """What is added to a model's tensor ``hook_name`` at strength 1: to its first channels, where
    positions stand beside them. ``site`` is that of the block, or of the stream itself.
    """

    site: Site
    hook_name: str
    delta: Float[Tensor, "prompt pos width"]


class Runs:
    """A model on some prompts, run again from the first site that an edit needs.

    Nothing changes after it is made: threads may share it.
    """

    @torch.no_grad()
    def __init__(self, model: GPT, batch: TaskBatch) -> None:
        self.model, self.batch = model, batch
        recorder = Recorder()
        model.residual(batch.tokens, recorder)
        self.tensors = recorder.tensors
        self._last = Site(model.config.n_layer - 1, "mlp")
        config = model.config
        is_cut = config.kept("mlp_in", config.d_read) is not None
        self._by_token = not (is_cut and config.d_pos_emb)

    def stream(self, site: Site) -> Float[Tensor, "prompt pos d_model"]:
        """The residual stream there, without edits."""
        return self.tensors[site.hook_name]

    @torch.no_grad()
    def outcome(self, added: Sequence[Addition] = (), strength: float = 1.0) -> Outcome:
        """How the model answers with ``added`` at that strength."""
        tokens, last = self.batch.tokens, self.batch.last
        rows = torch.arange(len(tokens), device=tokens.device)
        first = min((one.site for one in added), default=self._last)
        stream, positions = self.stream(first), None
        if first == self._last and self._by_token:
            stream = stream[rows, last][:, None]  # prompt 1 d_model
            read = self.tensors[f"{first}.act_in"][rows, last][:, None]
            positions = _Positions(f"{first}.act_in", read[..., self.model.config.d_model :])
            added = [replace(a, delta=a.delta[rows, last][:, None]) for a in added]
            last = torch.zeros_like(last)
        entering = Entering([first], 0, {first: stream})
        adds = _Adding(added, strength)
        hooks: list[Hook] = [entering, *([positions] if positions else []), adds]
        final, _ = self.model.residual(tokens[:0, : stream.shape[1]], chain(*hooks))
        logits = self.model.unembed(final[rows, last], tokens[rows, self.batch.last])
        return Outcome(two_way_loss(logits, self.batch.right, self.batch.wrong))


class _Positions:
    """A hook that gives single tokens the position channels of their own places."""

    def __init__(self, name: str, positions: Float[Tensor, "prompt 1 d_pos_emb"]) -> None:
        self.name, self.positions = name, positions

    def __call__(self, name: str, x: Tensor) -> Tensor:
        if name != self.name:
            return x
        width = x.shape[-1] - self.positions.shape[-1]
        return torch.cat((x[..., :width], self.positions), dim=-1)


class _Adding:
    """A hook that adds at every named tensor that has all prompts' rows."""

    def __init__(self, added: Sequence[Addition], strength: float) -> None:
        self.added, self.strength = added, strength

    def __call__(self, name: str, x: Tensor) -> Tensor:
        for one in self.added:
            if one.hook_name == name:
                wide = F.pad(one.delta, (0, x.shape[-1] - one.delta.shape[-1]))
                x = x + self.strength * wide
        return x
