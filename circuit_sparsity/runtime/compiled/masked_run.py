"""The masked full model as a compiled circuit: slow, and right for every architecture option."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.circuits.edges import Edge
from circuit_sparsity.circuits.means import Means
from circuit_sparsity.core.attention import attention_pattern
from circuit_sparsity.core.model import GPT
from circuit_sparsity.core.names import Location, Node
from circuit_sparsity.kernels import abs_top_k
from circuit_sparsity.runtime.compiled.run import Ablation, CircuitRun, Fill, Prompts, check_fill
from circuit_sparsity.runtime.prefix_cache import ResumableRun, block_of, resumable_run


@dataclass(frozen=True, eq=False)
class FullRun(CircuitRun):
    """Runs the model from the layer of the first ablated part on, one ablation at a time."""

    circuit: Circuit
    run: ResumableRun
    right: Int[Tensor, " prompt"]
    wrong: Int[Tensor, " prompt"]

    @torch.no_grad()
    def _margins(self, ablations: Sequence[Ablation], fill: Fill) -> Float[Tensor, "set prompt"]:
        rows = torch.arange(len(self.right), device=self.right.device)
        found = [torch.empty(0, len(self.right), device=self.right.device)]
        for ablated in ablations:
            logits = self.logits_without(ablated, fill)
            found.append((logits[rows, self.right] - logits[rows, self.wrong])[None])
        return torch.cat(found)  # set prompt

    @torch.no_grad()
    def logits_without(
        self, ablated: Ablation, fill: Fill = "mean"
    ) -> Float[Tensor, "prompt vocab"]:
        """Next-token logits at each prompt's last token. ValueError for an unknown ``fill``."""
        check_fill(fill)
        if not ablated:
            return self.run.base
        places = [part.target if isinstance(part, Edge) else part for part in ablated]
        start = min(self.run.depth(node.location) for node in places)
        return self.run.resume(start, Without(self.run, ablated, fill))


def full_run(circuit: Circuit, model: GPT, means: Means, prompts: Prompts) -> FullRun:
    """``circuit`` bound to ``prompts``, computed by the model itself."""
    alive = circuit.masks(model.config)
    run = resumable_run(model, alive, means, prompts.tokens, prompts.last)
    return FullRun(circuit, run, prompts.right, prompts.wrong)


class Without:
    """A hook for after the fill, which ablates nodes and edges of one forward pass."""

    def __init__(self, run: ResumableRun, ablated: Ablation, fill: Fill) -> None:
        self.run, self.fill = run, fill
        self.nodes: dict[str, list[int]] = defaultdict(list)
        self.edges: dict[str, list[Edge]] = defaultdict(list)
        self.seen: dict[str, Tensor] = {}
        for part in ablated:
            if isinstance(part, Edge):
                self.edges[str(part.target.location)].append(part)
            else:
                self.nodes[str(part.location)].append(part.channel)

    def __call__(self, name: str, x: Tensor) -> Tensor:
        if name in self.edges:
            x = self.run.fill(name, self.without_edges(Location.parse(name), self.edges[name]))
        if name in self.nodes:
            channels, x = self.nodes[name], x.clone()
            level = self.run.means.values[Location.parse(name)].to(x)
            x[..., channels] = level[channels] if self.fill == "mean" else 0.0
        self.seen[name] = x
        return x

    def without_edges(self, target: Location, edges: list[Edge]) -> Tensor:
        before = self.before(target).clone()
        for edge in edges:
            before[..., edge.target.channel] -= edge.weight * self._excess(edge.source)
        return finish(self.run.model, target, before)

    def before(self, target: Location) -> Float[Tensor, "prompt pos width"]:
        """What the linear map into ``target`` gives, before activation and top-k."""
        assert target.layer is not None, f"no edge leads into {target}"
        block, at = block_of(self.run.model, target.layer), target.block_name
        if target.block == "mlp":
            if target.kind == "post_act":
                return block.mlp.c_fc(self.seen[f"{at}.act_in"])
            return block.mlp.c_proj(self.seen[f"{at}.post_act"])
        if target.kind == "resid_delta":
            return block.attn.c_proj(self.seen[f"{at}.y"])
        parts = block.attn.c_attn(self.seen[f"{at}.act_in"])
        return parts.split(self.run.model.config.d_attn, dim=-1)["qkv".index(target.kind)]

    def _excess(self, source: Node) -> Float[Tensor, "prompt pos"]:
        """The source less what replaces it, as the target sees it."""
        x = self.seen[str(source.location)][..., source.channel]
        if self.fill == "mean":
            x = x - self.run.means.values[source.location][source.channel].to(x)
        return self.as_read(source, x)

    def as_read(self, source: Node, x: Float[Tensor, "prompt pos"]) -> Float[Tensor, "prompt pos"]:
        """What the target reads where the source is ``x``: values are mixed by their head."""
        if source.location.kind != "v":
            return x
        return (self._pattern(source) @ x[..., None])[..., 0]  # prompt pos

    def _pattern(self, value: Node) -> Float[Tensor, "prompt pos key"]:
        """The attention weights of the head of ``value``, the sink's slot left out."""
        layer, d_head = value.location.layer, self.run.model.config.d_head
        assert layer is not None, f"{value} is in no head"
        head = value.channel // d_head
        part = slice(head * d_head, (head + 1) * d_head)
        q, k = (self.seen[f"{layer}.attn.{name}"][:, None, :, part] for name in "qk")
        sink = block_of(self.run.model, layer).attn.sink_logit
        weights = attention_pattern(q, k, None if sink is None else sink[head : head + 1])
        return weights[:, 0, :, -q.shape[-2] :]  # prompt pos key


def finish(
    model: GPT, target: Location, before: Float[Tensor, "prompt pos width"]
) -> Float[Tensor, "prompt pos width"]:
    """Activation and top-k of ``target``, as the model applies them."""
    if target.kind == "post_act":
        before = F.gelu(before) if model.config.activation_type == "gelu" else F.relu(before)
    kept = model.config.kept(top_k_place(target), before.shape[-1])
    return before if kept is None else abs_top_k(before, k=kept)


def top_k_place(target: Location) -> str:
    """What ``afrac_loctypes`` calls the top-k of ``target``."""
    if target.kind == "act_in":
        return f"{target.block}_in"
    if target.block == "mlp":
        return "mlp_neuron" if target.kind == "post_act" else "mlp_out"
    return "attn_out" if target.kind == "resid_delta" else f"attn_{target.kind}"
