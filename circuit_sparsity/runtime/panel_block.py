"""A layer in panels: the steps, names and numbers of ``Block``, for whoever watches or nobody.

One pass serves inference and pruning. At every named tensor stands a ``PanelHook``: a model's
hook, a pruner's gates, or nothing. Channels may be left out (``Remaining``): they are constants
then, and a head all of whose channels are out gives what depends on the position alone, tabulated
once. What is left is the masked model, term by term. Where no hook wants anything of a layer, and
no gradient is asked, it runs fused (``kernels.layer``), to the same bits.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int, Int32
from torch import Tensor, nn

from circuit_sparsity.core.hooks import Hook, wants
from circuit_sparsity.core.model import Block, GPTConfig
from circuit_sparsity.core.names import ATTENTION_KINDS, MLP_KINDS, Location
from circuit_sparsity.kernels import (
    Layer,
    Map,
    Read,
    Write,
    abs_top_k_panels,
    add_panels,
    as_kept,
    as_map,
    attend_panels,
    norm_panels,
    run_layer,
    to_panels,
)
from circuit_sparsity.runtime.panels import (
    LayerMaps,
    LinearMap,
    MapInto,
    Masks,
    PanelHook,
    Panels,
    Place,
    SparseMap,
    TokenLayout,
    Vectors,
    unwatched,
)


@dataclass(frozen=True, eq=False)
class Remaining:
    """Which channels of each location still vary, and the means at which the others are held."""

    alive: Masks
    means: Vectors

    @staticmethod
    def everything(config: GPTConfig, layer: int) -> "Remaining":
        """A whole layer."""
        places = [Location(layer, "attn", kind) for kind in ATTENTION_KINDS]
        places += [Location(layer, "mlp", kind) for kind in MLP_KINDS]
        widths = {place: config.width(place) for place in places}
        return Remaining(
            {place: torch.ones(width, dtype=torch.bool) for place, width in widths.items()},
            {place: torch.zeros(width) for place, width in widths.items()},
        )

    def place(self, location: Location, config: GPTConfig, top_k: str) -> Place:
        """A location, and what is left of it behind the top-k of that name."""
        return Place(location, self.alive[location], config.kept(top_k, config.width(location)))


class PanelLayer:
    """Residual stream in, residual stream out, both whole and in panels."""

    def __init__(self, block: Block, maps: LayerMaps, remaining: Remaining) -> None:
        self._block, config = block, block.attn.config
        self._attention = _Attention(block, maps, remaining)
        self._mlp = _Mlp(maps, remaining, config, block.layer)
        self._kept_mid = config.kept("resid_post_attn", config.d_model)
        self._kept_end = config.kept("resid_post_mlp", config.d_model)

    def __call__(
        self,
        x: Panels,
        positions: Float[Tensor, "pos d_pos_emb"] | None,
        tokens: TokenLayout,
        hook: PanelHook,
        last: Int[Tensor, " prompt"] | None = None,
    ) -> Panels:
        """The layer's output for every token, or for one token of each prompt, at ``last``.

        What other tokens do not read is then computed at those alone.
        """
        block = self._block
        appended = None if positions is None else tokens.repeat(block.ln_p1(positions))
        delta = self._attention(_norm(block.ln_1, x, appended), tokens, hook, last)
        x = self._add(x if last is None else tokens.last(x, last), delta, self._kept_mid)
        x = hook(f"{block.layer}.resid_mid", x, None)
        if positions is not None:
            rows = block.ln_p2(positions)
            appended = tokens.repeat(rows) if last is None else to_panels(rows[last].detach())
        return self._add(x, self._mlp(_norm(block.ln_2, x, appended), hook), self._kept_end)

    def _add(self, x: Panels, delta: Panels, kept: int | None) -> Panels:
        x = self._block._add(add_panels(x, delta))
        return x if kept is None else abs_top_k_panels(x, kept)


class _Write:
    """What a block's last map adds to the residual stream: channels that are out at their means."""

    def __init__(self, place: Place, mean: Float[Tensor, " d_model"]) -> None:
        self._back = None if place.take is None else place.take.transposed
        self._held = mean.masked_fill(place.alive, 0.0)

    def __call__(self, left: Panels) -> Panels:
        if self._back is None:
            return left
        return SparseMap(self._back, self._held)(left)


class _Mlp:
    """What the layer's MLP adds to the residual stream."""

    def __init__(
        self, maps: LayerMaps, remaining: Remaining, config: GPTConfig, layer: int
    ) -> None:
        read, neurons, out = (Location(layer, "mlp", kind) for kind in MLP_KINDS)
        means = remaining.means
        self._read = remaining.place(read, config, "mlp_in")
        self._neurons = remaining.place(neurons, config, "mlp_neuron")
        self._out = remaining.place(out, config, "mlp_out")
        self._into = MapInto(maps.into_neurons, self._neurons, self._read, means[read])
        self._from = MapInto(maps.from_neurons, self._out, self._neurons, means[neurons])
        self._write = _Write(self._out, means[out])

    def __call__(self, read: Panels, hook: PanelHook) -> Panels:
        read = hook(self._read.name, self._read.cut(read), self._read.channels)
        neurons = hook(self._neurons.name, self._into(read), self._neurons.channels)
        return self._write(hook(self._out.name, self._from(neurons), self._out.channels))


class _Attention:
    """What the layer's heads add to the residual stream.

    Heads that have a channel left run whole; the others give what their means give.
    """

    def __init__(self, block: Block, maps: LayerMaps, remaining: Remaining) -> None:
        config, sink = block.attn.config, block.attn.sink_logit
        at = {kind: Location(block.layer, "attn", kind) for kind in ATTENTION_KINDS}
        means = remaining.means
        of_heads = [remaining.alive[at[kind]].view(config.n_head, -1) for kind in "qkv"]
        heads = torch.stack(of_heads).any(dim=0).any(dim=1)
        channels = heads.repeat_interleave(config.d_head)
        self._heads, self._name = int(heads.sum()), f"{block.layer}.attn.y"
        self._sink = None if sink is None else sink.detach()[heads]
        self._read = remaining.place(at["act_in"], config, "attn_in")
        self._qkv = {
            kind: Place(at[kind], channels, config.kept(f"attn_{kind}", config.d_attn))
            for kind in "qkv"
        }
        self._into = {
            kind: MapInto(maps.qkv[kind], self._qkv[kind], self._read, means[at["act_in"]])
            for kind in "qkv"
        }
        self._out = remaining.place(at["resid_delta"], config, "attn_out")
        nothing = torch.zeros(config.d_attn)
        self._from = maps.from_heads.reduced(self._out.rows, channels, nothing)
        self._read_heads = _read_heads(self._from, self._heads)
        self._write = _Write(self._out, means[at["resid_delta"]])
        self._constant = None
        if self._heads < config.n_head:
            held = [means[at[kind]][~channels] for kind in "qkv"]
            written = maps.from_heads.reduced(self._out.rows, ~channels, nothing)
            written = replace(written, bias=None)  # that of the layer is added where heads run
            sink = None if sink is None else sink[~heads]
            self._constant = _HeldHeads(held, config.n_head - self._heads, sink, written)

    def __call__(
        self,
        read: Panels,
        tokens: TokenLayout,
        hook: PanelHook,
        last: Int[Tensor, " prompt"] | None,
    ) -> Panels:
        """What is added at every token, or at the ``last`` of each prompt."""
        read = hook(self._read.name, self._read.cut(read), self._read.channels)
        parts = {kind: self._into[kind](read) for kind in "qkv"}
        # The reference hooks k before q; the order shows in what a recorder holds.
        k, q, v = (hook(self._qkv[x].name, parts[x], self._qkv[x].channels) for x in "kqv")
        y = v
        if self._heads:
            # What no output reads need not be computed, unless somebody looks.
            heads = self._read_heads if hook is unwatched and not q.requires_grad else None
            y = attend_panels(q, k, v, self._sink, tokens.bounds, self._heads, heads)
            y = hook(self._name, y, None)
        delta = self._from(y if last is None else tokens.last(y, last))
        if self._constant is not None:
            constant = self._constant(tokens)
            constant = constant if last is None else tokens.last(constant, last)
            delta = add_panels(delta, constant)
        if self._out.kept is not None:
            delta = self._out.cut(delta)
        return self._write(hook(self._out.name, delta, self._out.channels))


def _read_heads(from_heads: LinearMap, n_head: int) -> Int32[Tensor, " live"] | None:
    """Heads that some weight behind them reads; None for all, and for a matrix that is dense."""
    if not isinstance(from_heads, SparseMap) or not n_head:
        return None
    read = torch.zeros(from_heads.matrix.shape[1], dtype=torch.bool)
    read[from_heads.matrix.columns.long()] = True
    return read.view(n_head, -1).any(dim=1).nonzero().flatten().to(torch.int32)


class _HeldHeads:
    """What heads give whose queries, keys and values are all at their means, at each position."""

    def __init__(
        self,
        qkv: list[Float[Tensor, " channels"]],
        n_head: int,
        sink: Float[Tensor, " head"] | None,
        from_heads: LinearMap,
    ) -> None:
        self._qkv, self._n_head = qkv, n_head
        self._sink, self._from = None if sink is None else sink.detach(), from_heads
        self._known: dict[int, Float[Tensor, "pos rows"]] = {}

    def __call__(self, tokens: TokenLayout) -> Panels:
        if tokens.length not in self._known:
            self._known[tokens.length] = self._table(tokens.length)
        return tokens.repeat(self._known[tokens.length])

    @torch.no_grad()
    def _table(self, length: int) -> Float[Tensor, "pos rows"]:
        one = TokenLayout(1, length)
        q, k, v = (one.repeat(mean.expand(length, -1)) for mean in self._qkv)
        y = attend_panels(q, k, v, self._sink, one.bounds, self._n_head)
        return one.turn_back(self._from(y))[0]


class PanelBlock(Block):
    """``Block`` in panels. Names, hooks, input and output are those of ``Block``."""

    @cached_property
    def maps(self) -> LayerMaps:
        """Its linear maps; the weights must be in place and not be replaced afterwards."""
        return LayerMaps(self)

    @cached_property
    def whole(self) -> PanelLayer:
        """The layer with nothing left out."""
        return PanelLayer(self, self.maps, Remaining.everything(self.attn.config, self.layer))

    def forward(
        self,
        x: Float[Tensor, "batch pos d_model"],
        positions: Float[Tensor, "pos d_pos_emb"] | None,
        hook: Hook,
    ) -> Float[Tensor, "batch pos d_model"]:
        tokens = TokenLayout(*x.shape[:2])
        x = hook(f"{self.layer}.resid_in", x)
        is_watched = any(wants(hook, name) for name in self._names)
        for_panels = tokens.for_panels(hook) if is_watched else unwatched
        panels = tokens.turn(x)
        wants_gradient = panels.requires_grad and torch.is_grad_enabled()
        if is_watched or wants_gradient or self._fused is None:
            return tokens.turn_back(self.whole(panels, positions, tokens, for_panels))
        nothing = torch.empty(len(panels), 0, 16)
        norms = () if positions is None else (self.ln_p1, self.ln_p2)
        appended = [tokens.repeat(norm(positions)) for norm in norms] or [nothing, nothing]
        run_layer(self._fused, panels, (appended[0], appended[1]), tokens.bounds)
        return tokens.turn_back(panels)

    @cached_property
    def _names(self) -> tuple[str, ...]:
        """Of the tensors that a hook may want of the layer, but for its input."""
        attention = [f"{self.layer}.attn.{kind}" for kind in (*ATTENTION_KINDS, "y")]
        mlp = [f"{self.layer}.mlp.{kind}" for kind in MLP_KINDS]
        return (*attention, f"{self.layer}.resid_mid", *mlp)

    @cached_property
    def _fused(self) -> Layer | None:
        """What runs the layer in one go; None where a matrix is dense."""
        config, maps = self.attn.config, self.maps
        q, k, v = (
            _map(maps.qkv[kind], config.kept(f"attn_{kind}", config.d_attn)) for kind in "qkv"
        )
        from_heads = _map(maps.from_heads, config.kept("attn_out", config.d_model))
        into_neurons = _map(maps.into_neurons, config.kept("mlp_neuron", config.d_mlp))
        from_neurons = _map(maps.from_neurons, config.kept("mlp_out", config.d_model))
        if not (q and k and v and from_heads and into_neurons and from_neurons):
            return None
        return Layer(
            config.d_model,
            config.n_head,
            _read_heads(maps.from_heads, config.n_head),
            self.attn.sink_logit,
            _read(self.ln_1, config, "attn_in"),
            q,
            k,
            v,
            from_heads,
            self._write("resid_post_attn"),
            _read(self.ln_2, config, "mlp_in"),
            into_neurons,
            maps.into_neurons.activation,
            from_neurons,
            self._write("resid_post_mlp"),
        )

    def _write(self, place: str) -> Write:
        config = self.attn.config
        relu = config.residual_activation_type == "relu"
        return Write(relu, as_kept(config.kept(place, config.d_model), config.d_model))


def _map(linear: LinearMap, kept: int | None) -> Map | None:
    return as_map(linear.matrix, linear.bias, kept) if isinstance(linear, SparseMap) else None


def _read(norm: nn.Module, config: GPTConfig, place: str) -> Read:
    gain, bias, centred, epsilon = _norm_values(norm)
    kept = as_kept(config.kept(place, config.d_read), config.d_read)
    return Read(gain.numpy(), bias.numpy(), centred, np.float32(epsilon), kept)


def _norm_values(norm: nn.Module) -> tuple[Tensor, Tensor, bool, float]:
    """Gain, bias, whether the mean is taken off, epsilon."""
    assert isinstance(norm, nn.RMSNorm | nn.LayerNorm), f"{type(norm).__name__} is no norm"
    gain = norm.weight.detach()
    bias = norm.bias if isinstance(norm, nn.LayerNorm) else None
    bias = torch.zeros_like(gain) if bias is None else bias.detach()
    epsilon = torch.finfo(torch.float32).eps if norm.eps is None else norm.eps
    return gain, bias, isinstance(norm, nn.LayerNorm), epsilon


def _norm(norm: nn.Module, x: Panels, appended: Panels | None) -> Panels:
    """The norm's output, and after it the channels ``appended``."""
    gain, bias, centred, epsilon = _norm_values(norm)
    return norm_panels(x, gain, bias, centred=centred, epsilon=epsilon, beside=appended)
