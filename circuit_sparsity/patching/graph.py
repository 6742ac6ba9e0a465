"""The attribution graph of a prompt: nodes at tokens, and what each adds to those that read it.

A node's *deviation* is what it is in the circuit on this prompt less its reference mean. Links
share it out by these rules; what they leave is the node's ``rest``:

- weight: through a matrix, weight × deviation of the source at the same token;
- pattern: through attention, weight × attention weight × deviation of the value at its token;
- residual: a read is each earlier write's deviation, and the embedding, times the norm's gain over
  its spread on this prompt (the norm's scale is held as it is);
- neurons: weights times the slope of the secant of the activation, between the kept sources at
  their means and as they are;
- a channel that a top-k cut gets no links: its deviation is all rest.

So incoming links and the rest add up to the deviation, exactly. Apart from that sum, *query-key*
links say what a query's or a key's deviation does to a write by moving the pattern, to first order.
The answer is the log odds of the right token against the wrong one; its links hold the last norm's
scale.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from circuit_sparsity.circuits.edges import Edge, residual_links, weight_between
from circuit_sparsity.core.attention import attention_pattern
from circuit_sparsity.core.hooks import Recorder, chain
from circuit_sparsity.core.names import FINAL_RESID, Location, Node
from circuit_sparsity.experiment.experiment import Experiment
from circuit_sparsity.patching.logits import check_sum, direction_of
from circuit_sparsity.patching.pairs import pairs_of
from circuit_sparsity.runtime.ablation import mean_fill
from circuit_sparsity.runtime.prefix_cache import block_of

Rule = Literal["weight", "pattern", "residual", "answer", "query-key"]
RULES: tuple[Rule, ...] = get_args(Rule)
_NEXT_TO_NOTHING = 1e-6  # a change of a neuron's input whose secant is left out


@dataclass(frozen=True, eq=False)
class AttributionGraph:
    """Vertices are numbered: node ``i`` of ``parts`` at token ``t`` is ``i * len(tokens) + t``.

    After them come the embeddings, one a token, then the answer.
    """

    prompt: int
    tokens: tuple[int, ...]
    right: int
    wrong: int
    parts: tuple[Node, ...]
    log_odds: float
    deviation: Float[Tensor, " vertex"]  # of an embedding its norm, of the answer its log odds
    rest: Float[Tensor, " vertex"]  # what the links do not say; 0 of embeddings
    source: Int[Tensor, " link"]
    target: Int[Tensor, " link"]
    weight: Float[Tensor, " link"]
    rule: Int[Tensor, " link"]  # a number of RULES

    @property
    def answer(self) -> int:
        """The number of the answer's vertex."""
        return (len(self.parts) + 1) * len(self.tokens)

    def vertex(self, node: Node, position: int) -> int:
        """The number of a node at a token; ValueError for one that is not in the graph."""
        if node not in self.parts or not 0 <= position < len(self.tokens):
            raise ValueError(
                f"{node} at token {position} is not in the graph of a circuit of "
                f"{len(self.parts)} nodes on {len(self.tokens)} tokens, counted from 0"
            )
        return self.parts.index(node) * len(self.tokens) + position

    def entering(self) -> Float[Tensor, " vertex"]:
        """The sum of the links into each vertex, query-key links left out."""
        adds = self.rule != RULES.index("query-key")
        found = torch.zeros(self.answer + 1)
        return found.index_add(0, self.target[adds], self.weight[adds])

    def influence(self) -> Float[Tensor, " vertex"]:
        """The share of the answer that comes by way of each vertex, 1 for the answer itself.

        Each vertex hands its influence on to those that enter it by their share of the absolute
        values of its links and its rest (circuit-tracer's influence); query-key links are left
        out, as they are of the sum.
        """
        adds = self.rule != RULES.index("query-key")
        source, target = self.source[adds], self.target[adds]
        size = self.weight[adds].abs()
        into = self.rest.abs().index_add(0, target, size).clamp(min=1e-30)
        share = size / into[target]
        found = torch.zeros(self.answer + 1)
        found[self.answer] = 1.0
        for some in self._backwards(target):
            found.index_add_(0, source[some], share[some] * found[target[some]])
        return found

    def _backwards(self, target: Int[Tensor, " link"]) -> list[Int[Tensor, " some"]]:
        """Links by their target's place, the answer first, then from the last place back."""
        length = len(self.tokens)
        places = [str(node.location) for node in self.parts]
        order = {name: i for i, name in enumerate(dict.fromkeys(places))}
        rank = torch.tensor([order[name] for name in places] + [-1, len(order)])
        depth = rank[(target // length).clamp(max=len(self.parts) + 1)]
        return [(depth == i).nonzero().flatten() for i in range(len(order), -1, -1)]

    def pruned(self, share: float) -> Bool[Tensor, " vertex"]:
        """The fewest vertices with ``share`` of all influence, and the answer.

        ValueError for a share outside 0 to 1.
        """
        if not 0 <= share <= 1:
            raise ValueError(f"the share of influence is {share}; expected 0 to 1")
        found = self.influence()
        order = found.argsort(descending=True, stable=True)
        before = found[order].cumsum(0) - found[order]
        kept = torch.zeros(len(found), dtype=torch.bool)
        kept[order[before < share * found.sum()]] = True
        kept[self.answer] = True
        return kept & ((found > 0) | (torch.arange(len(found)) == self.answer))


@torch.no_grad()
def attribution_graph(experiment: Experiment, prompt: int = 0) -> AttributionGraph:
    """The graph of one prompt of ``experiment`` in its circuit, everything else at its mean.

    Raises ValueError where the residual stream is no sum (a relu or a top-k on it), and for a
    prompt that is not there.
    """
    check_sum(experiment.model)
    return _Builder(experiment, prompt).build()


class _Builder:
    def __init__(self, experiment: Experiment, prompt: int) -> None:
        self.experiment, self.model, self.prompt = experiment, experiment.model, prompt
        self.batch = pairs_of(experiment, [prompt]).batch
        recorder, fill = Recorder(), mean_fill(experiment.alive, experiment.means)
        self.model.residual(self.batch.tokens, chain(fill, recorder))
        self.seen = {name: x[0].float().cpu() for name, x in recorder.tensors.items()}
        self.raw = recorder.tensors
        self.parts = experiment.circuit.node_list
        self.number = {node: i for i, node in enumerate(self.parts)}
        self.length = self.batch.tokens.shape[1]
        self.deviation = {node: self._deviation(node) for node in self.parts}
        self.inputs: dict[Location, Tensor] = {}
        self.found: list[tuple[Tensor, Tensor, Tensor, int]] = []

    def _deviation(self, node: Node) -> Float[Tensor, " pos"]:
        mean = self.experiment.means.values[node.location][node.channel]
        return self.seen[str(node.location)][:, node.channel] - float(mean)

    def build(self) -> AttributionGraph:
        self._weights()
        self._attention()
        self._residual()
        log_odds = self._answer()
        source = torch.cat([torch.empty(0), *(link[0] for link in self.found)])
        target = torch.cat([torch.empty(0), *(link[1] for link in self.found)])
        weight = torch.cat([torch.empty(0), *(link[2] for link in self.found)])
        rule = torch.cat([torch.full((len(w),), r) for _, _, w, r in self.found])
        deviation = torch.cat(
            [
                *self.deviation.values(),
                self.seen["0.resid_in"].norm(dim=1),
                torch.tensor([log_odds]),
            ]
        )
        graph = AttributionGraph(
            prompt=self.prompt,
            tokens=tuple(self.batch.tokens[0].tolist()),
            right=int(self.batch.right[0]),
            wrong=int(self.batch.wrong[0]),
            parts=self.parts,
            log_odds=log_odds,
            deviation=deviation,
            rest=torch.zeros_like(deviation),
            source=source.long(),
            target=target.long(),
            weight=weight.float(),
            rule=rule,
        )
        rest = deviation - graph.entering()
        rest[len(self.parts) * self.length : graph.answer] = 0.0
        graph.rest.copy_(rest)
        return graph

    def _add(self, source: Tensor, target: Tensor, weight: Tensor, rule: Rule) -> None:
        keep = weight != 0
        self.found.append((source[keep], target[keep], weight[keep], RULES.index(rule)))

    def _at(self, node: Node) -> Int[Tensor, " pos"]:
        return self.number[node] * self.length + torch.arange(self.length)

    def _survives(self, node: Node) -> Bool[Tensor, " pos"]:
        """Where its place's top-k let it through."""
        return self.seen[str(node.location)][:, node.channel] != 0

    def _weights(self) -> None:
        """Edges at one token: matrices, and neurons by their secant."""
        into = defaultdict[Node, list[Edge]](list)
        for edge in self.experiment.edges:
            if edge.source.location.kind != "v":
                into[edge.target].append(edge)
        for target, edges in into.items():
            factor = self._survives(target).float()
            if target.location.kind == "post_act":
                factor = factor * self._secant(target, edges)
            for edge in edges:
                added = edge.weight * self.deviation[edge.source] * factor
                self._add(self._at(edge.source), self._at(target), added, "weight")

    def _secant(self, target: Node, edges: Sequence[Edge]) -> Float[Tensor, " pos"]:
        act = F.gelu if self.model.config.activation_type == "gelu" else F.relu
        after = self._before(target.location)[:, target.channel]
        change = torch.stack([e.weight * self.deviation[e.source] for e in edges]).sum(0)
        at_means = after - change
        small = change.abs() < _NEXT_TO_NOTHING
        slope = (act(after) - act(at_means)) / torch.where(small, 1.0, change)
        return torch.where(small, 0.0, slope)

    def _before(self, target: Location) -> Float[Tensor, "pos width"]:
        """What the matrix into the neurons of a layer gives, before their activation."""
        if target not in self.inputs:
            assert target.layer is not None, f"{target} is inside no block"
            read = self.raw[f"{target.layer}.mlp.act_in"]
            into = block_of(self.model, target.layer).mlp.c_fc
            self.inputs[target] = into(read)[0].float().cpu()
        return self.inputs[target]

    def _attention(self) -> None:
        """Values by the pattern, and queries and keys by what they do to it."""
        for layer in range(self.model.config.n_layer):
            values = self.experiment.circuit.nodes.get(Location(layer, "attn", "v"), ())
            writes = self.experiment.circuit.nodes.get(Location(layer, "attn", "resid_delta"), ())
            if not writes:
                continue
            patterns = self._patterns(layer)
            through = (
                weight_between(
                    self.model, Location(layer, "attn", "v"), Location(layer, "attn", "resid_delta")
                )
                .detach()
                .float()
            )
            for channel in writes:
                write = Node(Location(layer, "attn", "resid_delta"), channel)
                for value in values:
                    weight = float(through[channel, value])
                    if weight:
                        self._value_links(layer, value, write, weight, patterns)
                self._pattern_links(layer, write, through[channel], patterns)

    def _patterns(self, layer: int) -> Float[Tensor, "head pos key"]:
        q, k = (
            self.seen[f"{layer}.attn.{kind}"].unflatten(1, (self.model.config.n_head, -1))
            for kind in "qk"
        )
        sink = block_of(self.model, layer).attn.sink_logit
        sink = None if sink is None else sink.detach().float().cpu()
        found = attention_pattern(q.transpose(0, 1)[None], k.transpose(0, 1)[None], sink)
        return found[0, :, :, -self.length :]

    def _value_links(
        self, layer: int, channel: int, write: Node, weight: float, patterns: Tensor
    ) -> None:
        value = Node(Location(layer, "attn", "v"), channel)
        pattern = patterns[channel // self.model.config.d_head]  # pos key
        added = weight * pattern * self.deviation[value] * self._survives(write)[:, None]
        source = self._at(value).expand_as(added)
        target = self._at(write)[:, None].expand_as(added)
        self._add(source.flatten(), target.flatten(), added.flatten(), "pattern")

    def _pattern_links(
        self, layer: int, write: Node, weights: Float[Tensor, " v"], patterns: Tensor
    ) -> None:
        d_head, survives = self.model.config.d_head, self._survives(write)[:, None]
        scale = d_head**-0.5
        value, query, key = (self.seen[f"{layer}.attn.{kind}"] for kind in "vqk")
        for kind, other in (("q", key), ("k", query)):
            for channel in self.experiment.circuit.nodes.get(Location(layer, "attn", kind), ()):
                head = slice(channel // d_head * d_head, channel // d_head * d_head + d_head)
                written = value[:, head] @ weights[head]  # key
                pattern = patterns[channel // d_head]  # pos key
                mixed = (pattern @ written)[:, None]
                slope = pattern * (written - mixed) * scale * survives  # of the scores
                node = Node(Location(layer, "attn", kind), channel)
                deviation, source, target = self.deviation[node], self._at(node), self._at(write)
                if kind == "q":
                    added = (slope @ other[:, channel]) * deviation
                    self._add(source, target, added, "query-key")
                    continue
                added = slope * other[:, channel, None] * deviation
                at = target[:, None].expand_as(added)
                self._add(
                    source.expand_as(added).flatten(), at.flatten(), added.flatten(), "query-key"
                )

    def _residual(self) -> None:
        """Reads: earlier writes of the channel, and the embedding."""
        writers = defaultdict[Node, list[Node]](list)
        for link in residual_links(self.experiment.circuit):
            writers[link.target].append(link.source)
        first = len(self.parts) * self.length + torch.arange(self.length)
        for node in self.parts:
            if not node.location.reads_residual or node.channel >= self.model.config.d_model:
                continue
            factor = self._gain(node)
            for write in writers[node]:
                added = self.deviation[write] * factor
                self._add(self._at(write), self._at(node), added, "residual")
            added = self.seen["0.resid_in"][:, node.channel] * factor
            self._add(first, self._at(node), added, "residual")

    def _gain(self, node: Node) -> Float[Tensor, " pos"]:
        place = node.location
        if place == FINAL_RESID:
            return torch.ones(self.length)
        assert place.layer is not None, "only the end is outside all layers"
        block = block_of(self.model, place.layer)
        norm = block.ln_1 if place.block == "attn" else block.ln_2
        stream = self.seen[f"{place.layer}.resid_{'in' if place.block == 'attn' else 'mid'}"]
        epsilon, gain = norm.eps, norm.weight
        least = epsilon if isinstance(epsilon, float) else torch.finfo(torch.float32).eps
        assert isinstance(gain, Tensor), f"the norm at {place} has no gain"
        spread = stream.square().mean(1)
        if not self.model.config.rms_norm:
            spread = stream.var(1, unbiased=False)
        return float(gain[node.channel]) * self._survives(node) / (spread + least).sqrt()

    def _answer(self) -> float:
        last = int(self.batch.last[0])
        end = self.seen[str(FINAL_RESID)][last]
        direction = direction_of(self.model, self.batch, end.to(self.model.device)).cpu()
        answer = torch.tensor([(len(self.parts) + 1) * self.length])
        for channel in self.experiment.circuit.nodes.get(FINAL_RESID, ()):
            node = Node(FINAL_RESID, channel)
            added = (direction[channel] * self.deviation[node][last])[None]
            self._add(self._at(node)[last : last + 1], answer, added, "answer")
        tokens = self.batch.tokens[:, last]
        logits = self.model.unembed(end[None].to(self.model.device), tokens)[0]
        return float(logits[self.batch.right[0]] - logits[self.batch.wrong[0]])
