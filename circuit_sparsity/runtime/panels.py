"""What a layer in panels is made of: sixteen tokens a panel, places, linear maps between them.

A channel that is left out is held at its mean for good. What it adds to the next map is then part
of that map's bias, so its column goes, and its row too where no top-k compares it with others.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int, Int32
from torch import Tensor, nn

from circuit_sparsity.core.hooks import Hook, wants
from circuit_sparsity.core.model import Block
from circuit_sparsity.core.names import Location
from circuit_sparsity.core.sparse_modules import SparseLinear
from circuit_sparsity.kernels import (
    Activation,
    SparseMatrix,
    abs_top_k_panels,
    from_panels,
    gelu_panels,
    sparse_linear,
    to_panels,
    token_bounds,
)

Panels = Float[Tensor, "_ _ 16"]
Channels = Int[Tensor, " _"]
Masks = Mapping[Location, Bool[Tensor, " width"]]
Vectors = Mapping[Location, Float[Tensor, " width"]]


# What happens to a named tensor of a layer, after its top-k: a hook, a gate or nothing. It is given
# the name, the values and which channels they are (None: all); the layer goes on with the result.
PanelHook = Callable[[str, Panels, Channels | None], Panels]


def unwatched(name: str, x: Panels, channels: Channels | None) -> Panels:
    """The plain run."""
    return x


@dataclass(frozen=True)
class TokenLayout:
    """Which token of which prompt lies where in panels: one prompt after the other, unpadded."""

    prompts: int
    length: int

    def turn(self, x: Float[Tensor, "batch pos channels"]) -> Panels:
        """Activations in panels."""
        return to_panels(x.reshape(-1, x.shape[-1]))

    def turn_back(self, panels: Panels) -> Float[Tensor, "batch pos channels"]:
        """The inverse."""
        tokens = from_panels(panels, self.prompts * self.length)
        return tokens.view(self.prompts, self.length, -1)

    @cached_property
    def bounds(self) -> Int32[Tensor, "start_and_end token"]:
        """Where the prompt of each token begins and ends."""
        return token_bounds(self.prompts, self.length)

    def repeat(self, rows: Float[Tensor, "pos channels"]) -> Panels:
        """The same rows for every prompt, without a gradient."""
        return to_panels(rows.detach().repeat(self.prompts, 1))

    def last(self, x: Panels, last: Int[Tensor, " prompt"]) -> Panels:
        """Panels of one token a prompt, the one at ``last``."""
        return to_panels(self.turn_back(x)[torch.arange(len(last)), last])

    def for_panels(self, hook: Hook) -> PanelHook:
        """``hook`` for panels: what it wants it sees as (batch, pos, channel), turned and back."""

        def shown(name: str, x: Panels, channels: Channels | None) -> Panels:
            if not wants(hook, name):
                return x
            seen = self.turn_back(x)
            version = None if seen.is_inference() else seen._version
            changed = hook(name, seen)
            untouched = changed is seen and version is not None and seen._version == version
            # What needs a gradient must lie on the way, also where the hook only kept it.
            return x if untouched and not seen.requires_grad else self.turn(changed)

        return shown


@dataclass(frozen=True, eq=False)
class SparseMap:
    """``activation(matrix @ x + bias)`` of a compressed matrix."""

    matrix: SparseMatrix
    bias: Float[Tensor, " rows"] | None
    activation: Activation = "none"

    def __call__(self, x: Panels) -> Panels:
        return sparse_linear(x, self.matrix, self.bias, self.activation)

    def reduced(
        self,
        rows: Channels | None,
        columns: Bool[Tensor, " columns"],
        means: Float[Tensor, " columns"],
    ) -> "SparseMap":
        """The map from ``columns`` alone, all others at their means; of ``rows`` if given."""
        if bool(columns.all()) and rows is None:
            return self
        held = means.masked_fill(columns, 0.0)[:, None]
        bias = sparse_linear(held, self.matrix, self.bias)[:, 0]
        rows = torch.arange(self.matrix.shape[0]) if rows is None else rows
        matrix = self.matrix.select(rows, columns.nonzero().flatten())
        return SparseMap(matrix, bias[rows], self.activation)


@dataclass(frozen=True, eq=False)
class DenseMap:
    """The same of weights that stay dense: one product over all tokens."""

    weight: Float[Tensor, "rows columns"]
    bias: Float[Tensor, " rows"] | None
    activation: Activation = "none"

    def __call__(self, x: Panels) -> Panels:
        out = self.weight @ x.transpose(0, 1).flatten(1)  # rows tokens
        if self.bias is not None:
            out = out + self.bias[:, None]
        panels = out.unflatten(1, (-1, 16)).transpose(0, 1).contiguous()
        if self.activation == "none":
            return panels
        return gelu_panels(panels) if self.activation == "gelu" else panels.relu()

    def reduced(
        self,
        rows: Channels | None,
        columns: Bool[Tensor, " columns"],
        means: Float[Tensor, " columns"],
    ) -> "SparseMap | DenseMap":
        """The map from ``columns`` alone, compressed; itself where nothing goes."""
        if bool(columns.all()) and rows is None:
            return self
        return self._compressed.reduced(rows, columns, means)

    @cached_property
    def _compressed(self) -> SparseMap:
        return SparseMap(SparseMatrix.from_dense(self.weight), self.bias, self.activation)


LinearMap = SparseMap | DenseMap


class LayerMaps:
    """The six linear maps of a layer, whole, each kept as the model keeps it."""

    def __init__(self, block: Block) -> None:
        q, k, v = _maps_of(block.attn.c_attn, parts=3)
        self.qkv: dict[str, LinearMap] = {"q": q, "k": k, "v": v}
        (self.from_heads,) = _maps_of(block.attn.c_proj)
        activation = block.attn.config.activation_type
        (self.into_neurons,) = _maps_of(block.mlp.c_fc, "gelu" if activation == "gelu" else "relu")
        (self.from_neurons,) = _maps_of(block.mlp.c_proj)


def _maps_of(linear: nn.Module, activation: Activation = "none", parts: int = 1) -> list[LinearMap]:
    """A linear map as it is, or its rows in ``parts`` of equal size."""
    if isinstance(linear, SparseLinear):
        pairs = linear.three if parts == 3 else [(linear.matrix, linear.bias)]
        return [SparseMap(m, None if b is None else b.detach(), activation) for m, b in pairs]
    assert isinstance(linear, nn.Linear), f"{type(linear).__name__} is no linear map"
    weights = linear.weight.detach().chunk(parts)
    none: list[Tensor | None] = [None] * parts
    biases = none if linear.bias is None else linear.bias.detach().chunk(parts)
    return [DenseMap(w, b, activation) for w, b in zip(weights, biases, strict=True)]


class Place:
    """A location in panels: how many channels its top-k keeps, and which are not left out."""

    def __init__(self, location: Location, alive: Bool[Tensor, " width"], kept: int | None) -> None:
        self.location, self.name = location, str(location)
        self.alive, self.kept = alive, kept
        self.channels = None if bool(alive.all()) else alive.nonzero().flatten()
        self.take: SparseMatrix | None = None  # what takes them out of all
        if self.channels is not None:
            rows, shape = torch.arange(len(self.channels)), (len(self.channels), len(alive))
            ones = torch.ones(len(self.channels))
            self.take = SparseMatrix.from_entries(rows, self.channels, ones, shape)

    @property
    def rows(self) -> Channels | None:
        """The rows that the map into here computes: all, where a top-k compares them."""
        return self.channels if self.kept is None else None

    def cut(self, x: Panels) -> Panels:
        """The channels that are left of a whole location, after its top-k."""
        if self.kept is not None:
            x = abs_top_k_panels(x, self.kept)
        return x if self.take is None else sparse_linear(x, self.take)


class MapInto:
    """The map from one place into another and its top-k, for what is left of both.

    Where a top-k compares what is left with the rest, all rows are computed to see what it keeps,
    and what is left once more for its gradient: that is less than a gradient through all rows.
    """

    def __init__(
        self, whole: LinearMap, target: Place, source: Place, mean: Float[Tensor, " source"]
    ) -> None:
        self._target = target
        self._left = whole.reduced(target.channels, source.alive, mean)
        self._whole = self._left
        if target.kept is not None:
            self._whole = whole.reduced(None, source.alive, mean)

    def __call__(self, x: Panels) -> Panels:
        target = self._target
        if target.kept is None:
            return self._left(x)
        if target.take is None or not torch.is_grad_enabled():
            return target.cut(self._whole(x))
        with torch.no_grad():
            kept = target.cut(self._whole(x)) != 0
        return self._left(x) * kept
