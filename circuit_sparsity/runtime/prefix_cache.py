"""A circuit's run over prompts, kept at the layers: a run that differs late starts late.

Ablating one node or one edge at a time costs a forward pass each; what lies before the ablated
place is the same every time. Nothing is changed in the model, so threads can share it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuit_sparsity.circuits.means import Means
from circuit_sparsity.core.hooks import Hook, Recorder, chain, no_hook, with_names
from circuit_sparsity.core.model import GPT, Block
from circuit_sparsity.core.names import FINAL_RESID, Location, Node
from circuit_sparsity.runtime.ablation import mean_fill


@dataclass(frozen=True, eq=False)
class ResumableRun:
    """The input of every layer in a run over ``tokens`` in which only ``alive`` runs."""

    model: GPT
    fill: Hook
    means: Means
    tokens: Int[Tensor, "prompt pos"]
    last: Int[Tensor, " prompt"]
    inputs: tuple[Float[Tensor, "prompt pos d_model"], ...]  # of each layer, then of the end

    @cached_property
    def base(self) -> Float[Tensor, "prompt vocab"]:
        """Logits at each prompt's last token, nothing more ablated."""
        return self.resume(self.model.config.n_layer, no_hook)

    @torch.no_grad()
    def layer(self, layer: int) -> dict[str, Tensor]:
        """Every tensor hooked in one layer, after the fill; none past the last layer."""
        recorder = Recorder()
        if layer < self.model.config.n_layer:
            self._block(layer, self.inputs[layer], chain(self.fill, recorder))
        else:
            recorder(str(FINAL_RESID), self.fill(str(FINAL_RESID), self.inputs[layer]))
        return recorder.tensors

    @torch.no_grad()
    def resume(self, layer: int, hook: Hook) -> Float[Tensor, "prompt vocab"]:
        """Logits at each prompt's last token with ``hook`` after the fill from ``layer`` on."""
        hook, x = chain(self.fill, hook), self.inputs[layer]
        for later in range(layer, self.model.config.n_layer):
            x = self._block(later, x, hook)
        x = hook(str(FINAL_RESID), x)
        rows = torch.arange(len(x), device=x.device)
        return self.model.unembed(x[rows, self.last], self.tokens[rows, self.last])

    def _block(self, layer: int, x: Tensor, hook: Hook) -> Float[Tensor, "prompt pos d_model"]:
        positions = None  # where they are added, they are in x since the start
        if self.model.config.d_pos_emb:
            positions = self.model.get_parameter("transformer.wpe.weight")[: x.shape[1]]
        return block_of(self.model, layer)(x, positions, hook)

    def depth(self, location: Location) -> int:
        """The layer from which a run that differs at ``location`` must start."""
        return self.model.config.n_layer if location.layer is None else location.layer

    def without(self, nodes: tuple[Node, ...]) -> Float[Tensor, "prompt vocab"]:
        """Logits with ``nodes`` at their means too."""
        channels: dict[str, list[int]] = {}
        for node in nodes:
            channels.setdefault(str(node.location), []).append(node.channel)
        if not channels:
            return self.base
        means = {str(node.location): self.means.values[node.location] for node in nodes}

        def hook(name: str, x: Tensor) -> Tensor:
            if name not in channels:
                return x
            x = x.clone()
            x[..., channels[name]] = means[name].to(x)[channels[name]]
            return x

        start = min(self.depth(node.location) for node in nodes)
        return self.resume(start, with_names(hook, channels))


@torch.no_grad()
def resumable_run(
    model: GPT,
    alive: Mapping[Location, Bool[Tensor, " width"]],
    means: Means,
    tokens: Int[Tensor, "prompt pos"],
    last: Int[Tensor, " prompt"],
) -> ResumableRun:
    """Run ``model`` over ``tokens`` with only ``alive`` running; keep what enters each layer."""
    fill, end = mean_fill(alive, means), Recorder(str(FINAL_RESID))
    _, inputs = model.residual(tokens, chain(end, fill))
    inputs = (*inputs, end.tensors[str(FINAL_RESID)])
    return ResumableRun(model, fill, means, tokens, last, inputs)


def block_of(model: GPT, layer: int) -> Block:
    """One layer of ``model``."""
    block = model.get_submodule(f"transformer.h.{layer}")
    assert isinstance(block, Block), f"layer {layer} is a {type(block).__name__}"
    return block
