"""Which kept nodes a circuit can do without: nothing varying reaches them, or nothing reads them.

A node is *reached* when something that differs between prompts or positions flows into it through
kept nodes, and *read* when it flows on to the answers. The embeddings always flow. Attention is
the subtle part: its pattern may vary while its values are constant, and the other way round.

- A key is read although its head's query is constant, if that constant is not zero.
- A value is read although its head's pattern is constant.
- A query against constant keys gives every token the same score. That matters only against a
  sink, which takes what the tokens do not; so without a sink a query needs a kept key in its
  channel.
- With a sink, values that are held at their means still carry the pattern, in the share that the
  sink leaves them; so keys, queries and writes may live without a kept value.

What is not counted: that a norm or an activation top-k lets every channel move every other. A node
that is only reached in this way is dangling, so the loss of what is left is always measured again.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuit_sparsity.circuits.edges import weight_between
from circuit_sparsity.circuits.means import Means
from circuit_sparsity.core.model import GPT
from circuit_sparsity.core.names import FINAL_RESID, Location

Masks = dict[Location, Bool[Tensor, " width"]]


class Liveness:
    """What a model joins; knows which nodes of a mask are live. More kept never means less live."""

    def __init__(self, model: GPT, means: Means, readout: Bool[Tensor, " d_model"]) -> None:
        """``readout``: channels of the final residual stream that tell the answers apart."""
        self.layers = [_Layer(model, means, layer) for layer in range(model.config.n_layer)]
        self.embedded = _varies(model.transformer.wte.weight)
        if not model.config.d_pos_emb:
            self.embedded = self.embedded | _varies(model.transformer.wpe.weight)
        self.readout = readout & _scales(model.transformer.ln_f, model.config.d_model)

    def live(self, kept: Masks) -> Masks:
        """``kept`` without its dangling nodes."""
        while True:
            found = self._read(self._reached(kept))
            if all(bool((found[place] == mask).all()) for place, mask in kept.items()):
                return found
            kept = found

    def _reached(self, kept: Masks) -> Masks:
        found, flows = dict(kept), self.embedded.clone()
        for layer in self.layers:
            layer.reach_attention(found, flows)
            flows |= found[layer.at("attn", "resid_delta")]
            layer.reach_mlp(found, flows)
            flows |= found[layer.at("mlp", "resid_delta")]
        found[FINAL_RESID] = kept[FINAL_RESID] & flows
        return found

    def _read(self, kept: Masks) -> Masks:
        found = dict(kept)
        found[FINAL_RESID] = kept[FINAL_RESID] & self.readout
        wanted = found[FINAL_RESID].clone()
        for layer in reversed(self.layers):
            layer.read_mlp(found, wanted)
            wanted |= found[layer.at("mlp", "act_in")][: len(wanted)]
            layer.read_attention(found, wanted)
            wanted |= found[layer.at("attn", "act_in")][: len(wanted)]
        return found


class _Layer:
    """One layer's weights, and the rules that hold inside its two blocks."""

    def __init__(self, model: GPT, means: Means, layer: int) -> None:
        block, config = model.blocks[layer], model.config
        self.layer, self.sink, self.n_head = layer, config.sink, config.n_head
        pairs = ("act_in", "q"), ("act_in", "k"), ("act_in", "v"), ("v", "resid_delta")
        self.weight = {
            (source, target): _weight(model, layer, "attn", source, target)
            for source, target in pairs
        }
        self.into_neurons = _weight(model, layer, "mlp", "act_in", "post_act")
        self.from_neurons = _weight(model, layer, "mlp", "post_act", "resid_delta")
        self.scaled = {
            "attn": _scales(block.ln_1, config.d_model),
            "mlp": _scales(block.ln_2, config.d_model),
        }
        nothing = torch.zeros(0, dtype=torch.bool)
        self.positions = {"attn": nothing, "mlp": nothing}
        if config.d_pos_emb:
            at = model.transformer.wpe.weight
            self.positions = {"attn": _varies(block.ln_p1(at)), "mlp": _varies(block.ln_p2(at))}
        self.constant = {kind: means.values[self.at("attn", kind)] != 0 for kind in "qkv"}

    def at(self, block: str, kind: str) -> Location:
        return Location(self.layer, block, kind)

    def reach_attention(self, kept: Masks, flows: Bool[Tensor, " d_model"]) -> None:
        read = self._reach_act_in(kept, "attn", flows)
        for kind in "qkv":
            kept[self.at("attn", kind)] = _into(
                self.weight["act_in", kind], kept[self.at("attn", kind)], read
            )
        carried = kept[self.at("attn", "v")]
        if self.sink:
            moving = self._heads(kept[self.at("attn", "q")] | kept[self.at("attn", "k")])
            carried = carried | (moving & self.constant["v"])
        delta = self.at("attn", "resid_delta")
        kept[delta] = _into(self.weight["v", "resid_delta"], kept[delta], carried)

    def reach_mlp(self, kept: Masks, flows: Bool[Tensor, " d_model"]) -> None:
        read = self._reach_act_in(kept, "mlp", flows)
        neurons, delta = self.at("mlp", "post_act"), self.at("mlp", "resid_delta")
        kept[neurons] = _into(self.into_neurons, kept[neurons], read)
        kept[delta] = _into(self.from_neurons, kept[delta], kept[neurons])

    def _reach_act_in(
        self, kept: Masks, block: str, flows: Bool[Tensor, " d_model"]
    ) -> Bool[Tensor, " d_read"]:
        flowing = torch.cat((flows & self.scaled[block], self.positions[block]))
        kept[self.at(block, "act_in")] = kept[self.at(block, "act_in")] & flowing
        return kept[self.at(block, "act_in")]

    def read_mlp(self, kept: Masks, wanted: Bool[Tensor, " d_model"]) -> None:
        neurons, delta = self.at("mlp", "post_act"), self.at("mlp", "resid_delta")
        kept[delta] = kept[delta] & wanted
        kept[neurons] = _from(self.from_neurons, kept[neurons], kept[delta])
        act_in = self.at("mlp", "act_in")
        kept[act_in] = _from(self.into_neurons, kept[act_in], kept[neurons])

    def read_attention(self, kept: Masks, wanted: Bool[Tensor, " d_model"]) -> None:
        act_in, q, k, v, delta = (
            self.at("attn", kind) for kind in ("act_in", "q", "k", "v", "resid_delta")
        )
        kept[delta] = kept[delta] & wanted
        outputs = _from(self.weight["v", "resid_delta"], torch.ones_like(kept[v]), kept[delta])
        kept[v] = kept[v] & outputs
        carrying = kept[v] | (self.constant["v"] & outputs) if self.sink else kept[v]
        heads = self._heads(carrying)
        keys = kept[k] | self.constant["k"] if self.sink else kept[k]
        kept[q], kept[k] = (
            kept[q] & heads & keys,
            kept[k] & heads & (kept[q] | self.constant["q"]),
        )
        readers = [
            _from(self.weight["act_in", kind], kept[act_in], kept[self.at("attn", kind)])
            for kind in "qkv"
        ]
        kept[act_in] = torch.stack(readers).any(dim=0)

    def _heads(self, some: Bool[Tensor, " d_attn"]) -> Bool[Tensor, " d_attn"]:
        """Every channel of the heads in which ``some`` has one."""
        by_head = some.view(self.n_head, -1)
        return by_head.any(dim=1, keepdim=True).expand_as(by_head).reshape(-1)


def _weight(
    model: GPT, layer: int, block: str, source: str, target: str
) -> Float[Tensor, "target source"]:
    places = Location(layer, block, source), Location(layer, block, target)
    return weight_between(model, *places).detach().cpu()


def _into(
    weight: Float[Tensor, "target source"],
    target: Bool[Tensor, " target"],
    source: Bool[Tensor, " source"],
) -> Bool[Tensor, " target"]:
    """Those of ``target`` that a nonzero weight joins to one of ``source``."""
    found = target.clone()
    found[target] = (weight[target][:, source] != 0).any(dim=1)
    return found


def _from(
    weight: Float[Tensor, "target source"],
    source: Bool[Tensor, " source"],
    target: Bool[Tensor, " target"],
) -> Bool[Tensor, " source"]:
    """Those of ``source`` that a nonzero weight joins to one of ``target``."""
    found = source.clone()
    found[source] = (weight[target][:, source] != 0).any(dim=0)
    return found


def _varies(rows: Float[Tensor, "row channel"]) -> Bool[Tensor, " channel"]:
    return (rows.detach() != rows.detach()[:1]).any(dim=0).cpu()


def _scales(norm: torch.nn.Module, dim: int) -> Bool[Tensor, " channel"]:
    """Channels that a norm does not multiply by zero."""
    weight = getattr(norm, "weight", None)
    return torch.ones(dim, dtype=torch.bool) if weight is None else (weight.detach() != 0).cpu()
