"""An edit of the sparse model carried over a bridge to the dense one, and random controls.

What a block of the sparse model reads at a channel, behind its norm, changes by Δ. As published
(Gao et al. 2025, section on bridges) the dense model's block then reads, behind its own norm, Δ
times the decoder's column of that channel times the ratio of the two streams' RMS. That takes no
notice of the norms' gains. With ``gains`` they count: Δ is divided by the sparse gain and what
arrives is multiplied by the dense one, so that exactly the change of the sparse stream goes over.
A node inside a block changes what the block writes: the change of the residual stream at the next
site goes over and is added there.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuit_sparsity.bridges.bridge import Site
from circuit_sparsity.bridges.pair import Pair
from circuit_sparsity.bridges.runs import Addition, Runs
from circuit_sparsity.circuits.means import Means
from circuit_sparsity.circuits.recipe import Level
from circuit_sparsity.core.hooks import Recorder, chain, replace
from circuit_sparsity.core.model import GPT
from circuit_sparsity.core.names import Node
from circuit_sparsity.experiment.experiment import Cancelled, Outcome
from circuit_sparsity.tasks.task import TaskBatch


@dataclass(frozen=True)
class NodeEdit:
    """A node of the sparse model and what it becomes; None: its value in the pair's other prompt.

    The other prompt is laid beside this one so that their last tokens meet.
    """

    node: Node
    level: Level | None = None


@dataclass(frozen=True, eq=False)
class Shift:
    """A change of the sparse model at one place, ready to go over.

    ``own`` is what is added in the sparse model itself; ``stream`` is the same as a change of the
    residual stream at ``site``, in the stream's own units.
    """

    own: Addition
    site: Site  # of the sparse model: where it goes over
    reads: bool  # a block's read changes, not the stream
    stream: Float[Tensor, "prompt pos d_sparse"]


def turned(found: Sequence[Addition], draw: int) -> tuple[Addition, ...]:
    """Controls of equal norm in random directions: each addition in a randomly rotated space."""
    generator = torch.Generator().manual_seed(draw)
    out = []
    for one in found:
        width = one.delta.shape[-1]
        rotation = torch.linalg.qr(torch.randn(width, width, generator=generator)).Q
        out.append(Addition(one.site, one.hook_name, one.delta @ rotation))
    return tuple(out)


class Carrier:
    """A pair on some prompts: both models ready to run again, edits carried from one to the other.

    ``gains`` says whether the norms' gains count. Nothing changes after it is made: threads may
    share it.
    """

    def __init__(self, pair: Pair, batch: TaskBatch, gains: bool = False) -> None:
        self.pair, self.batch, self.gains = pair, batch, gains
        self.sparse, self.dense = Runs(pair.sparse, batch), Runs(pair.dense, batch)

    @torch.no_grad()
    def shifts(self, edits: Sequence[NodeEdit], means: Means | None = None) -> tuple[Shift, ...]:
        """What ``edits`` change in the sparse model on these prompts, one shift a place.

        ``means`` are needed for edits to a node's mean. Raises ValueError for an edit that no
        bridge carries: of a position channel, or with no site behind it.
        """
        if not edits:
            raise ValueError("no node was named; expected at least one, such as 2.mlp.act_in:18")
        for edit in edits:
            site_of(self.pair, edit.node)  # speaks up where no bridge carries it
        places = dict.fromkeys(edit.node.location for edit in edits)
        return tuple(
            self._shift([edit for edit in edits if edit.node.location == place], means)
            for place in places
        )

    def _shift(self, edits: Sequence[NodeEdit], means: Means | None) -> Shift:
        """The shift of edits of one place."""
        node = edits[0].node
        place, site = str(node.location), site_of(self.pair, node)
        x = self.sparse.tensors[place]
        change = torch.zeros_like(x)
        for edit in edits:
            channel = edit.node.channel
            change[..., channel] = _wanted(x, self.batch, edit, means) - x[..., channel]
        if node.location.kind == "act_in":
            width = self.pair.sparse.config.d_model
            gain, size = self._norm(self.pair.sparse, site, self.sparse.stream(site))
            safe = torch.where(gain == 0, torch.ones_like(gain), gain)
            # A gain of 0 lets nothing of the stream through, so nothing of it has changed.
            stream = torch.where(gain == 0, 0.0, change[..., :width] / safe) * size
            return Shift(Addition(site, place, change), site, True, stream)
        edited = Recorder()
        plus = replace({place: lambda y: y + change})
        self.pair.sparse.residual(self.batch.tokens, chain(plus, edited))
        stream = edited.tensors[site.hook_name] - self.sparse.stream(site)
        assert node.location.layer is not None, f"{place} is inside no block"
        assert node.location.block is not None, f"{place} is inside no block"
        begins = Site(node.location.layer, node.location.block)
        return Shift(Addition(begins, place, change), site, False, stream)

    @torch.no_grad()
    def additions(self, shifts: Sequence[Shift], draw: int | None = None) -> tuple[Addition, ...]:
        """What ``shifts`` become in the dense model.

        With a ``draw`` they are controls: each comes out of random other channels, drawn by that
        seed, and is scaled to the norm of the real one at every position.
        """
        return tuple(self._over(shift, draw) for shift in shifts)

    def _over(self, shift: Shift, draw: int | None) -> Addition:
        pairing = self.pair.bridges.pairing
        site = pairing.dense[pairing.sparse.index(shift.site)]
        decoder = self.pair.bridges.at_sparse(shift.site).decoder.weight  # d_dense d_sparse
        factor = torch.ones(())
        if shift.reads:
            gain, size = self._norm(self.pair.dense, site, self.dense.stream(site))
            factor = gain / size  # prompt pos d_dense
        delta = (shift.stream @ decoder.T) * factor
        if draw is not None:
            other = (_in_other_channels(shift.stream, draw) @ decoder.T) * factor
            size = other.norm(dim=-1, keepdim=True).clamp(min=1e-30)
            delta = other * (delta.norm(dim=-1, keepdim=True) / size)
        return Addition(site, f"{site}.act_in" if shift.reads else site.hook_name, delta)

    def _norm(self, model: GPT, site: Site, stream: Tensor) -> tuple[Tensor, Tensor]:
        """The gain of the norm before a block (ones where gains do not count); the stream's RMS."""
        if not model.config.rms_norm:
            raise ValueError(
                "a model has LayerNorm; an edit of a read is carried between models with RMSNorm"
            )
        block = model.blocks[site.layer]
        gain = (block.ln_1 if site.block == "attn" else block.ln_2).weight
        assert isinstance(gain, Tensor), "a norm has gains"
        eps = torch.finfo(stream.dtype).eps
        size = (stream.square().mean(dim=-1, keepdim=True) + eps).sqrt()
        return gain if self.gains else torch.ones_like(gain), size

    def in_sparse(self, shifts: Sequence[Shift], strength: float) -> Outcome:
        """How the sparse model answers with its own edit at that strength."""
        return self.sparse.outcome([shift.own for shift in shifts], strength)


@dataclass(frozen=True)
class AtStrength:
    """Mean probabilities of the right answer against the wrong one, at one strength."""

    strength: float
    sparse_p_right: float
    dense_p_right: float
    random_channels: tuple[float, ...]  # one a draw
    random_directions: tuple[float, ...]


def transfer(
    pair: Pair,
    batch: TaskBatch,
    edits: Sequence[NodeEdit],
    strengths: Sequence[float],
    draws: int = 20,
    means: Means | None = None,
    seed: int = 0,
    gains: bool = False,
    progress: Callable[[int, int], None] = lambda done, of: None,
    cancel: threading.Event | None = None,
) -> tuple[AtStrength, ...]:
    """The edit at each strength in both models, beside ``draws`` random channels and directions.

    Pure: the same arguments give the same numbers. Raises ValueError as `Carrier.shifts` does, and
    Cancelled when ``cancel`` is set meanwhile; ``progress`` counts draws.
    """
    carrier = Carrier(pair, batch, gains)
    shifts = carrier.shifts(edits, means)
    real = carrier.additions(shifts)

    def in_dense(added: Sequence[Addition]) -> list[float]:
        return [carrier.dense.outcome(added, strength).p_right for strength in strengths]

    channels: list[list[float]] = []
    directions: list[list[float]] = []
    for draw in range(seed * draws, (seed + 1) * draws):
        if cancel is not None and cancel.is_set():
            raise Cancelled(f"stopped after {len(channels)} of {draws} draws")
        channels.append(in_dense(carrier.additions(shifts, draw)))
        directions.append(in_dense(turned(real, draw)))
        progress(len(channels), draws)
    return tuple(
        AtStrength(
            strength,
            carrier.in_sparse(shifts, strength).p_right,
            carrier.dense.outcome(real, strength).p_right,
            tuple(found[i] for found in channels),
            tuple(found[i] for found in directions),
        )
        for i, strength in enumerate(strengths)
    )


def site_of(pair: Pair, node: Node) -> Site:
    """The site of the sparse model at which an edit of this node goes over.

    Raises ValueError where the model has no such node, or no bridge carries it.
    """
    place, config, sites = node.location, pair.sparse.config, pair.bridges.pairing.sparse
    if place.layer is None or place.block is None or place.layer >= config.n_layer:
        raise ValueError(
            f"{node} is behind the last block, where no bridge stands; expected a node of layers "
            f"0 to {config.n_layer - 1}"
        )
    width = config.d_model if place.kind == "act_in" else config.width(place)
    if node.channel >= width:
        raise ValueError(
            f"{node} is no channel that a bridge carries; expected one of 0 to {width - 1} "
            "(position channels of a read stand beside the residual stream)"
        )
    if place.kind == "act_in":
        site = Site(place.layer, place.block)
        pair.bridges.at_sparse(site)  # speaks up where there is none
        return site
    after = Site(place.layer, "mlp") if place.block == "attn" else Site(place.layer + 1, "attn")
    behind = [site for site in sites if site >= after]
    if not behind:
        raise ValueError(
            f"no bridge stands behind {node}; expected a node before the last site, {sites[-1]}"
        )
    return behind[0]


def _wanted(
    x: Float[Tensor, "prompt pos width"], batch: TaskBatch, edit: NodeEdit, means: Means | None
) -> Float[Tensor, "prompt pos"]:
    """What the edited node becomes at every position."""
    own = x[..., edit.node.channel]
    if edit.level is None:
        return _of_other(own, batch)
    if edit.level.how == "scale":
        return own * edit.level.value
    if edit.level.how == "mean":
        if means is None:
            raise ValueError(f"{edit.node} is to be held at its mean: give the reference means")
        return torch.full_like(own, float(means.values[edit.node.location][edit.node.channel]))
    return torch.full_like(own, edit.level.value)


def _of_other(own: Float[Tensor, "prompt pos"], batch: TaskBatch) -> Float[Tensor, "prompt pos"]:
    """Each prompt's values in its counterpart, last tokens aligned; its own where that has none."""
    n, pos = len(batch), own.shape[1]
    other = torch.arange(n, device=own.device).roll(-batch.n_pairs)  # prompt i's counterpart
    at: Int[Tensor, "prompt pos"] = (
        torch.arange(pos, device=own.device)[None] + (batch.last[other] - batch.last)[:, None]
    )
    there = own[other].gather(1, at.clamp(0, pos - 1))
    return torch.where((at >= 0) & (at < pos), there, own)


def _in_other_channels(
    stream: Float[Tensor, "prompt pos d_sparse"], draw: int
) -> Float[Tensor, "prompt pos d_sparse"]:
    """The same changes in random other channels; a random order where too few are free."""
    generator = torch.Generator().manual_seed(draw)
    width = stream.shape[-1]
    used = (stream != 0).flatten(0, 1).any(dim=0)
    changed, free = used.nonzero().flatten(), (~used).nonzero().flatten()
    if len(free) < len(changed):
        return stream[..., torch.randperm(width, generator=generator)]
    chosen = free[torch.randperm(len(free), generator=generator)[: len(changed)]]
    out = torch.zeros_like(stream)
    out[..., chosen] = stream[..., changed]
    return out
