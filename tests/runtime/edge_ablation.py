"""Edges ablated by brute force: the target computed anew from a run's own tensors.

It is put in its place, activation top-k and fill after it, and the rest of the model runs.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from circuit_sparsity.circuits.edges import Edge
from circuit_sparsity.core.attention import attention_pattern
from circuit_sparsity.core.hooks import replace
from circuit_sparsity.core.names import Location
from circuit_sparsity.kernels import abs_top_k
from circuit_sparsity.runtime.prefix_cache import ResumableRun, block_of


def without_each_edge(
    run: ResumableRun, edges: Iterable[Edge]
) -> Iterator[tuple[Edge, Float[Tensor, "prompt vocab"]]]:
    """Each edge in turn with the logits at the prompts' last tokens when it alone is ablated.

    Fastest when the edges of a layer follow one another. Stop at any time: nothing is left over.
    """
    block: _BlockRun | None = None
    for edge in edges:
        layer = run.depth(edge.target.location)
        if block is None or block.layer != layer:
            block = _BlockRun(run, layer, run.layer(layer))
        yield edge, block.without((edge,))


def without_edges(run: ResumableRun, edges: Iterable[Edge]) -> Float[Tensor, "prompt vocab"]:
    """Logits at the prompts' last tokens when edges into one location are ablated together."""
    edges = tuple(edges)
    if len({edge.target.location for edge in edges}) != 1:
        raise ValueError("edges ablated together must be one or more, all into one location")
    layer = run.depth(edges[0].target.location)
    return _BlockRun(run, layer, run.layer(layer)).without(edges)


@dataclass(eq=False)
class _BlockRun:
    """One layer's tensors in the circuit's run, and what edges into it have in common."""

    run: ResumableRun
    layer: int
    tensors: dict[str, Tensor]
    _before: dict[Location, Tensor] = field(default_factory=dict)
    _patterns: dict[int, Tensor] = field(default_factory=dict)

    @torch.no_grad()
    def without(self, edges: tuple[Edge, ...]) -> Float[Tensor, "prompt vocab"]:
        target = edges[0].target.location
        value = self.pre_activation(target).clone()
        for edge in edges:
            value[..., edge.target.channel] -= edge.weight * self.excess(edge)
        value = self.run.fill(str(target), self.finish(target, value))
        if torch.equal(value, self.tensors[str(target)]):
            return self.run.base
        return self.run.resume(self.layer, replace({str(target): lambda x: value}))

    def excess(self, edge: Edge) -> Float[Tensor, "prompt pos"]:
        """The source less its mean, as the target sees it."""
        source = edge.source
        mean = self.run.means.values[source.location][source.channel]
        excess = self.tensors[str(source.location)][..., source.channel] - mean.item()
        if source.location.kind != "v":
            return excess
        pattern = self.pattern(source.channel // self.run.model.config.d_head)
        return (pattern @ excess[..., None])[..., 0]  # prompt pos

    def pattern(self, head: int) -> Float[Tensor, "prompt pos key"]:
        """One head's attention weights, the sink's slot left out."""
        if head not in self._patterns:
            d_head = self.run.model.config.d_head
            part = slice(head * d_head, (head + 1) * d_head)
            q, k = (self.tensors[f"{self.layer}.attn.{name}"][:, None, :, part] for name in "qk")
            sink = block_of(self.run.model, self.layer).attn.sink_logit
            weights = attention_pattern(q, k, None if sink is None else sink[head : head + 1])
            self._patterns[head] = weights[:, 0, :, -q.shape[-2] :]  # prompt pos pos
        return self._patterns[head]

    def pre_activation(self, target: Location) -> Float[Tensor, "prompt pos width"]:
        """What the linear map into ``target`` gives, before activation and top-k."""
        if target not in self._before:
            block = block_of(self.run.model, self.layer)
            at = f"{self.layer}.{target.block}"
            if target.block == "mlp":
                is_read = target.kind == "post_act"
                linear = block.mlp.c_fc if is_read else block.mlp.c_proj
                before = linear(self.tensors[f"{at}.act_in" if is_read else f"{at}.post_act"])
            elif target.kind == "resid_delta":
                before = block.attn.c_proj(self.tensors[f"{at}.y"])
            else:
                parts = block.attn.c_attn(self.tensors[f"{at}.act_in"])
                before = parts.split(self.run.model.config.d_attn, dim=-1)["qkv".index(target.kind)]
            self._before[target] = before
        return self._before[target]

    def finish(
        self, target: Location, before: Float[Tensor, "prompt pos width"]
    ) -> Float[Tensor, "prompt pos width"]:
        """Activation and top-k of ``target``, as the model applies them."""
        config = self.run.model.config
        if target.kind == "post_act":
            before = F.gelu(before) if config.activation_type == "gelu" else F.relu(before)
        kept = config.kept(_top_k_place(target), before.shape[-1])
        return before if kept is None else abs_top_k(before, k=kept)


def _top_k_place(target: Location) -> str:
    if target.block == "mlp":
        return "mlp_neuron" if target.kind == "post_act" else "mlp_out"
    return "attn_out" if target.kind == "resid_delta" else f"attn_{target.kind}"
