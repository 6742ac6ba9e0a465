"""What a tour of a circuit points at, measured: who sees the mark, who carries it, what it does.

A task's pair differs in one token, its *mark* (for string closing, the opening quote). Everything
here is of the circuit alone, with all else at its mean, on the prompts of an `Experiment`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuit_sparsity.core.attention import attention_pattern
from circuit_sparsity.core.hooks import Recorder, chain
from circuit_sparsity.core.names import FINAL_RESID, Node
from circuit_sparsity.experiment.experiment import Effect, Experiment
from circuit_sparsity.runtime.ablation import mean_fill
from circuit_sparsity.runtime.activations import node_activations
from circuit_sparsity.runtime.prefix_cache import block_of
from circuit_sparsity.tasks.task import TaskBatch

MOST = 8  # nodes that a step marks
CLEAR = 1.0  # standard deviations: what counts as seeing


@dataclass(frozen=True)
class Reading:
    """A node's mean activation on the mark of each kind of prompt, and on all other tokens."""

    node: Node
    positive: float
    negative: float
    other_tokens: float
    spread: float  # standard deviation over all tokens of the prompts

    @property
    def tells(self) -> float:
        """How far the two kinds of mark are apart, in standard deviations of the node."""
        return abs(self.positive - self.negative) / self.spread if self.spread else 0.0

    @property
    def finds(self) -> float:
        """How far a mark of either kind is from other tokens, in standard deviations."""
        gap = abs((self.positive + self.negative) / 2 - self.other_tokens)
        return gap / self.spread if self.spread else 0.0


@dataclass(frozen=True, eq=False)
class Look:
    """Where one head of the circuit looks from each prompt's last token."""

    layer: int
    head: int
    nodes: tuple[Node, ...]  # its kept queries, keys and values
    weights: Float[Tensor, "prompt pos"]
    sink: Float[Tensor, " prompt"] | None
    on_mark: Float[Tensor, " prompt"]  # the weight on the mark

    @property
    def share(self) -> float:
        """Mean weight on the mark; the rest is on other tokens and the sink."""
        return float(self.on_mark.mean())


@dataclass(frozen=True)
class Writing:
    """What one final channel adds to the logit of the positive prompts' answer over the other's.

    Means over each kind of prompt, in nats of log odds: positive votes for that answer.
    """

    node: Node
    positive: float
    negative: float

    @property
    def swing(self) -> float:
        """How far the mark moves the vote."""
        return self.positive - self.negative


def mark_places(batch: TaskBatch) -> Int[Tensor, " prompt"]:
    """Where each prompt differs from its counterpart.

    Raises ValueError when prompts of a pair do not differ in exactly one token.
    """
    n = batch.n_pairs
    differ = (batch.tokens[:n] != batch.tokens[n:]) & _real(batch)[:n]
    counts = differ.sum(1)
    other = int((counts != 1).sum()) + int((batch.last[:n] != batch.last[n:]).sum())
    if other:
        raise ValueError(
            f"{other} of {n} pairs of prompts do not differ in exactly one token; the tour follows "
            "one token that decides the answer. Choose a circuit whose prompts are such pairs, "
            "such as one of single_double_quote that was found here"
        )
    return differ.int().argmax(1).repeat(2)


@torch.no_grad()
def readings(experiment: Experiment) -> tuple[Reading, ...]:
    """What each kept node does at the mark and elsewhere, in order of computation."""
    batch, n = experiment.batch, experiment.batch.n_pairs
    at, rows, real = mark_places(batch), torch.arange(len(batch)), _real(batch)
    others = real.clone()
    others[rows, at] = False
    hook = mean_fill(experiment.alive, experiment.means)
    found = node_activations(experiment.model, experiment.circuit.node_list, batch.tokens, hook)
    return tuple(
        Reading(
            node,
            float(x[rows, at][:n].mean()),
            float(x[rows, at][n:].mean()),
            float(x[others].mean()),
            float(x[real].std()),
        )
        for node, x in found.items()
    )


def telling(found: Sequence[Reading]) -> tuple[Reading, ...]:
    """Nodes that tell the two marks apart, clearest first: at least `CLEAR`, or the best one.

    Places that read, not those that write to the residual stream: what is written at the mark
    is not what is written at the end.
    """
    return _clearest(found, [one.tells for one in found])


def finding(found: Sequence[Reading]) -> tuple[Reading, ...]:
    """Nodes that tell a mark of either kind from all other tokens, chosen as by `telling`."""
    return _clearest(found, [one.finds for one in found])


@torch.no_grad()
def looks(experiment: Experiment) -> tuple[Look, ...]:
    """Heads with a kept value, by what they carry to the end from the mark: largest weight first.

    A head without a kept value brings the same to every prompt, wherever it looks.
    """
    recorder = Recorder(r"\d+\.attn\.[qk]$")
    experiment.model.residual(
        experiment.batch.tokens, chain(mean_fill(experiment.alive, experiment.means), recorder)
    )
    d = experiment.model.config.d_head
    heads = {
        (node.location.layer, node.channel // d)
        for node in experiment.circuit.node_list
        if node.location.kind == "v" and node.location.layer is not None
    }
    found = (_look(experiment, recorder, layer, head) for layer, head in sorted(heads))
    return tuple(sorted(found, key=lambda look: -look.share))


@torch.no_grad()
def writings(experiment: Experiment) -> tuple[Writing, ...]:
    """What the kept final channels say of the two answers, largest `swing` first.

    Exact: the logits are a sum over the channels after the last norm, so these, the channels at
    their means and the last token's bigrams add up to the log odds.
    """
    votes, n = channel_votes(experiment), experiment.batch.n_pairs
    kept = experiment.circuit.nodes.get(FINAL_RESID, ())
    found = (
        Writing(
            Node(FINAL_RESID, channel),
            float(votes[:n, channel].mean()),
            float(votes[n:, channel].mean()),
        )
        for channel in kept
    )
    return tuple(sorted(found, key=lambda one: -abs(one.swing)))


@torch.no_grad()
def channel_votes(experiment: Experiment) -> Float[Tensor, "prompt d_model"]:
    """Each final channel's part of the log odds of the positive prompts' answer."""
    batch, model, n = experiment.batch, experiment.model, experiment.batch.n_pairs
    end, _ = model.residual(batch.tokens, mean_fill(experiment.alive, experiment.means))
    normed = model.transformer.ln_f(batch.at_last(end))  # prompt d_model
    unembedding = model.get_parameter("lm_head.weight")
    towards = torch.cat([batch.right[:n], batch.wrong[n:]])
    against = torch.cat([batch.wrong[:n], batch.right[n:]])
    return normed * (unembedding[towards] - unembedding[against])


def writers_of(experiment: Experiment, channels: Sequence[Writing]) -> tuple[Node, ...]:
    """The kept nodes that write to these channels of the residual stream, and the channels."""
    wanted = {one.node.channel for one in channels}
    return tuple(
        node
        for node in experiment.circuit.node_list
        if node.channel in wanted
        and (node.location.writes_residual or node.location == FINAL_RESID)
    )


def costliest(effects: Sequence[Effect]) -> tuple[Node, ...]:
    """Nodes that were ablated alone, from the largest rise of the loss down."""
    ranked = sorted(effects, key=lambda effect: -effect.delta)
    return tuple(part for effect in ranked for part in effect.parts if isinstance(part, Node))


def _real(batch: TaskBatch) -> Bool[Tensor, "prompt pos"]:
    """Which tokens are no padding."""
    return torch.arange(batch.tokens.shape[1])[None] <= batch.last[:, None]


def _clearest(found: Sequence[Reading], measure: Sequence[float]) -> tuple[Reading, ...]:
    ranked = sorted(zip(measure, found, strict=True), key=lambda pair: -pair[0])
    readers = [(value, one) for value, one in ranked if not _writes(one.node)][:MOST]
    clear = [one for value, one in readers if value >= CLEAR]
    return tuple(clear or [one for _, one in readers[:1]])


def _writes(node: Node) -> bool:
    return node.location.writes_residual or node.location == FINAL_RESID


def _look(experiment: Experiment, recorder: Recorder, layer: int, head: int) -> Look:
    batch, d = experiment.batch, experiment.model.config.d_head
    here = slice(head * d, (head + 1) * d)
    q, k = (recorder.tensors[f"{layer}.attn.{name}"][:, None, :, here] for name in "qk")
    logit = block_of(experiment.model, layer).attn.sink_logit
    sink = None if logit is None else logit[head : head + 1]
    pattern = attention_pattern(q, k, sink)[:, 0]  # prompt pos slot
    last = batch.at_last(pattern)
    weights = last[:, -batch.tokens.shape[1] :]
    nodes = tuple(
        node
        for node in experiment.circuit.node_list
        if node.location.layer == layer
        and node.location.kind in ("q", "k", "v")
        and node.channel // d == head
    )
    on_mark = weights[torch.arange(len(batch)), mark_places(batch)]
    return Look(layer, head, nodes, weights, None if logit is None else last[:, 0], on_mark)
