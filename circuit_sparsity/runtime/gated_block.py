"""A linear map between what is left of two locations: constants in its bias, their columns gone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from circuit_sparsity.circuits.edges import bias_of, matrix_between
from circuit_sparsity.core.model import GPT, Block, GPTConfig
from circuit_sparsity.core.names import Location
from circuit_sparsity.kernels import (
    Activation,
    SparseMatrix,
    abs_top_k_panels,
    add_panels,
    attend_panels,
    norm_panels,
    sparse_linear,
    to_panels,
    token_bounds,
)
from circuit_sparsity.kernels.gates import GateOp
from circuit_sparsity.runtime.panel_block import Layout as Lanes

Panels = Float[Tensor, "_ _ 16"]


@dataclass(frozen=True, eq=False)
class PanelMap:
    """``matrix @ x + bias``, then the activation."""

    matrix: SparseMatrix
    bias: Float[Tensor, " rows"] | None
    activation: Activation = "none"

    def __call__(self, x: Panels) -> Panels:
        return sparse_linear(x, self.matrix, self.bias, self.activation)

    def left(
        self,
        rows: Int[Tensor, " rows_left"] | None,
        columns: Bool[Tensor, " columns"],
        means: Float[Tensor, " columns"],
    ) -> "PanelMap":
        """The map from ``columns`` alone, all others at their means; of ``rows`` if given."""
        matrix, bias = self.matrix, self.bias
        if bool(columns.all()) and rows is None:
            return self
        held = means.masked_fill(columns, 0.0)[:, None]
        bias = sparse_linear(held, matrix, bias)[:, 0]
        rows = torch.arange(matrix.shape[0]) if rows is None else rows
        matrix = matrix.select(rows, columns.nonzero().flatten())
        return PanelMap(matrix, bias[rows], self.activation)


def map_between(
    model: GPT, source: Location, target: Location, activation: Activation = "none"
) -> PanelMap:
    """The whole map of a model between two locations of one block."""
    bias = bias_of(model, target)
    bias = None if bias is None else bias.detach()
    return PanelMap(matrix_between(model, source, target), bias, activation)


def taken(alive: Bool[Tensor, " width"]) -> SparseMatrix | None:
    """What takes the channels that are ``alive`` out of all; None where that is all of them."""
    if bool(alive.all()):
        return None
    index = alive.nonzero().flatten()
    rows, shape = torch.arange(len(index)), (len(index), len(alive))
    return SparseMatrix.from_entries(rows, index, torch.ones(len(index)), shape)


Masks = Mapping[Location, Bool[Tensor, " width"]]
Vectors = Mapping[Location, Float[Tensor, " width"]]


class Maps:
    """A layer's six maps, whole."""

    def __init__(self, model: GPT, layer: int) -> None:
        def at(block: str, kind: str) -> Location:
            return Location(layer, block, kind)

        read = at("attn", "act_in")
        self.qkv = {kind: map_between(model, read, at("attn", kind)) for kind in "qkv"}
        self.from_heads = map_between(model, at("attn", "v"), at("attn", "resid_delta"))
        name = "gelu" if model.config.activation_type == "gelu" else "relu"
        neurons = at("mlp", "post_act")
        self.into_neurons = map_between(model, at("mlp", "act_in"), neurons, name)
        self.from_neurons = map_between(model, neurons, at("mlp", "resid_delta"))


@dataclass(frozen=True, eq=False)
class Gate:
    """What stands before each place's channels in one pass."""

    values: Vectors
    means: Vectors
    op: GateOp

    def __call__(
        self, place: Location, x: Panels, index: Int[Tensor, " left"] | None = None
    ) -> Panels:
        """``x`` under the gates of the channels ``index`` (all) of ``place``."""
        gate, mean = self.values[place], self.means[place]
        if index is not None:
            gate, mean = gate[index], mean[index]
        return self.op(x, gate, mean)


class _Place:
    """A location: which channels are left, and how they are taken out of all."""

    def __init__(self, place: Location, alive: Bool[Tensor, " width"], kept: int | None) -> None:
        self.place, self.alive, self.kept = place, alive, kept
        self.take = taken(alive)
        self.index = None if self.take is None else alive.nonzero().flatten()

    @property
    def rows(self) -> Int[Tensor, " left"] | None:
        """The rows that the map into here computes: all, where a top-k compares them."""
        return self.index if self.kept is None else None

    def __call__(self, x: Panels, gates: Gate, is_whole: bool) -> Panels:
        """``x`` after top-k and gates; ``is_whole`` where it still has every channel."""
        if self.kept is not None:
            x = abs_top_k_panels(x, self.kept)
        if is_whole and self.take is not None:
            x = sparse_linear(x, self.take)
        return gates(self.place, x, self.index)


class _Into:
    """A map into a place, its top-k and gates, for what is left of the place.

    Where a top-k compares what is left with the rest, all rows are computed to see what it keeps,
    and what is left once more for its gradient: that is less than a gradient through all rows.
    """

    def __init__(self, whole: PanelMap, place: _Place, source: _Place, means: Vectors) -> None:
        alive, mean = source.alive, means[source.place]
        self._place = place
        self._left = whole.left(place.index, alive, mean)
        self._whole = self._left if place.rows is not None else whole.left(None, alive, mean)

    def __call__(self, x: Panels, gates: Gate) -> Panels:
        place = self._place
        if place.kept is None:
            return place(self._left(x), gates, is_whole=False)
        if place.take is None or not torch.is_grad_enabled():
            return place(self._whole(x), gates, is_whole=True)
        with torch.no_grad():
            kept = sparse_linear(abs_top_k_panels(self._whole(x), place.kept), place.take) != 0
        return gates(place.place, self._left(x) * kept, place.index)


Placing = Callable[[str, str, str, int], _Place]


class BlockRun:
    """Residual stream in, residual stream out, both whole and in panels."""

    def __init__(self, block: Block, maps: Maps, masks: Masks, means: Vectors) -> None:
        self.block, self.layer, self.config = block, block.layer, block.attn.config
        config = self.config

        def place(part: str, kind: str, top_k: str, width: int) -> _Place:
            at = Location(self.layer, part, kind)
            return _Place(at, masks[at], config.kept(top_k, width))

        self._attention = _Attention(block, maps, masks, means, place)
        self._mlp = _Mlp(maps, means, place, config)
        self._cut = {
            where: config.kept(f"resid_post_{where}", config.d_model) for where in ("attn", "mlp")
        }

    def __call__(
        self, x: Panels, positions: Float[Tensor, "pos d_pos_emb"] | None, lanes: Lanes, gates: Gate
    ) -> Panels:
        beside = None if positions is None else lanes.repeat(self.block.ln_p1(positions))
        delta = self._attention(_norm(self.block.ln_1, x, beside), lanes, gates)
        x = self._add(x, delta, "attn")
        beside = None if positions is None else lanes.repeat(self.block.ln_p2(positions))
        return self._add(x, self._mlp(_norm(self.block.ln_2, x, beside), gates), "mlp")

    def at_last(
        self,
        x: Panels,
        positions: Float[Tensor, "pos d_pos_emb"] | None,
        lanes: Lanes,
        gates: Gate,
        last: Int[Tensor, " prompt"],
    ) -> Float[Tensor, "prompt 1 d_model"]:
        """The block's output at each prompt's last token; what is not read elsewhere, at those."""
        few = _Last(lanes, last)
        beside = None if positions is None else lanes.repeat(self.block.ln_p1(positions))
        delta = self._attention(_norm(self.block.ln_1, x, beside), lanes, gates, few)
        x = self._add(few(x), delta, "attn")
        if positions is not None:
            beside = to_panels(self.block.ln_p2(positions)[last].detach())
        x = self._add(x, self._mlp(_norm(self.block.ln_2, x, beside), gates), "mlp")
        return Lanes(len(last), 1).turn_back(x)

    def _add(self, x: Panels, delta: Panels, where: str) -> Panels:
        x, kept = self.block._add(add_panels(x, delta)), self._cut[where]
        return x if kept is None else abs_top_k_panels(x, kept)


class _Last:
    """Takes each prompt's last token out of panels, into panels of those alone."""

    def __init__(self, lanes: Lanes, last: Int[Tensor, " prompt"]) -> None:
        self._lanes, self._last = lanes, last

    def __call__(self, x: Panels) -> Panels:
        return to_panels(self._lanes.turn_back(x)[torch.arange(len(self._last)), self._last])


class _Write:
    """What a block's last map adds to the residual stream: channels that are out at their means."""

    def __init__(self, place: _Place, mean: Float[Tensor, " d_model"]) -> None:
        self._back = None if place.take is None else place.take.transposed
        self._held = mean.masked_fill(place.alive, 0.0)

    def __call__(self, left: Panels) -> Panels:
        return left if self._back is None else sparse_linear(left, self._back, self._held)


class _Mlp:
    def __init__(self, maps: Maps, means: Vectors, place: Placing, config: GPTConfig) -> None:
        self._read = place("mlp", "act_in", "mlp_in", config.d_read)
        neurons = place("mlp", "post_act", "mlp_neuron", config.d_mlp)
        out = place("mlp", "resid_delta", "mlp_out", config.d_model)
        self._into = _Into(maps.into_neurons, neurons, self._read, means)
        self._from = _Into(maps.from_neurons, out, neurons, means)
        self._write = _Write(out, means[out.place])

    def __call__(self, read: Panels, gates: Gate) -> Panels:
        read = self._read(read, gates, is_whole=True)
        return self._write(self._from(self._into(read, gates), gates))


class _Attention:
    """Heads that have a channel left run whole; the others give what their means give."""

    def __init__(
        self, block: Block, maps: Maps, masks: Masks, means: Vectors, place: Placing
    ) -> None:
        config, layer = block.attn.config, block.layer
        self._n_head, sink = config.n_head, block.attn.sink_logit
        at = {kind: Location(layer, "attn", kind) for kind in "qkv"}
        live = torch.stack([masks[at[kind]].view(config.n_head, -1) for kind in "qkv"])
        heads = live.any(dim=0).any(dim=1)
        self._heads = int(heads.sum())
        channels = heads.repeat_interleave(config.d_head)
        self._sink = None if sink is None else sink.detach()[heads]
        self._read = place("attn", "act_in", "attn_in", config.d_read)
        self._into = {
            kind: _Into(
                maps.qkv[kind],
                _Place(at[kind], channels, config.kept(f"attn_{kind}", config.d_attn)),
                self._read,
                means,
            )
            for kind in "qkv"
        }
        out = place("attn", "resid_delta", "attn_out", config.d_model)
        nothing = torch.zeros(config.d_attn)
        self._from = maps.from_heads.left(out.rows, channels, nothing)
        self._out, self._write = out, _Write(out, means[out.place])
        self._constant = None
        if self._heads < config.n_head:
            self._constant = _Constant(maps, out.rows, at, means, ~heads, sink)

    def __call__(self, read: Panels, lanes: Lanes, gates: Gate, few: _Last | None = None) -> Panels:
        """What is added to the residual stream, of all tokens or of a ``few``."""
        read = self._read(read, gates, is_whole=True)
        q, k, v = (self._into[kind](read, gates) for kind in "qkv")
        y = v
        if self._heads:
            y = attend_panels(q, k, v, self._sink, lanes.bounds, self._heads)
        y = y if few is None else few(y)
        delta = self._from(y)
        if self._constant is not None:
            constant = self._constant(lanes)
            delta = add_panels(delta, constant if few is None else few(constant))
        return self._write(self._out(delta, gates, is_whole=self._out.kept is not None))


class _Constant:
    """What heads give whose queries, keys and values are all at their means, at each position."""

    def __init__(
        self,
        maps: Maps,
        rows: Int[Tensor, " rows_left"] | None,
        at: Mapping[str, Location],
        means: Vectors,
        heads: Bool[Tensor, " head"],
        sink: Float[Tensor, " head"] | None,
    ) -> None:
        self._channels = heads.repeat_interleave(len(means[at["q"]]) // len(heads))
        self._qkv = [means[at[kind]][self._channels] for kind in "qkv"]
        self._heads, self._sink = int(heads.sum()), None if sink is None else sink.detach()[heads]
        matrix = maps.from_heads.matrix
        every = torch.arange(matrix.shape[0]) if rows is None else rows
        self._from: SparseMatrix = matrix.select(every, self._channels.nonzero().flatten())
        self._known: dict[int, Float[Tensor, "pos rows"]] = {}

    def __call__(self, lanes: Lanes) -> Panels:
        if lanes.length not in self._known:
            self._known[lanes.length] = self._table(lanes.length)
        return lanes.repeat(self._known[lanes.length])

    @torch.no_grad()
    def _table(self, length: int) -> Float[Tensor, "pos rows"]:
        one = Lanes(1, length)
        q, k, v = (one.repeat(mean.expand(length, -1)) for mean in self._qkv)
        y = attend_panels(q, k, v, self._sink, token_bounds(1, length), self._heads)
        return one.turn_back(sparse_linear(y, self._from))[0]


def _norm(norm: nn.Module, x: Panels, beside: Panels | None) -> Panels:
    """The norm's output, and after it the channels ``beside``."""
    assert isinstance(norm, nn.RMSNorm | nn.LayerNorm), f"{type(norm).__name__} is no norm"
    bias = norm.bias if isinstance(norm, nn.LayerNorm) else None
    return norm_panels(
        x,
        norm.weight.detach(),
        None if bias is None else bias.detach(),
        centred=isinstance(norm, nn.LayerNorm),
        epsilon=norm.eps,
        beside=beside,
    )
