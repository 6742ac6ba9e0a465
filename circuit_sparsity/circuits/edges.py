"""What joins kept nodes: weights (the edges that are counted), residual and attention links."""

# torch does not type Tensor.tolist
# pyright: reportUnknownMemberType=false

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.core.model import GPT
from circuit_sparsity.core.names import Location, Node
from circuit_sparsity.core.sparse_modules import SparseLinear
from circuit_sparsity.kernels import SparseMatrix

EDGE_KINDS = (  # block, source kind, target kind
    ("attn", "act_in", "q"),
    ("attn", "act_in", "k"),
    ("attn", "act_in", "v"),
    ("attn", "v", "resid_delta"),
    ("mlp", "act_in", "post_act"),
    ("mlp", "post_act", "resid_delta"),
)


@dataclass(frozen=True)
class Edge:
    """A nonzero weight that joins two kept nodes; written ``source>target``."""

    source: Node
    target: Node
    weight: float

    def __str__(self) -> str:
        return f"{self.source}>{self.target}"


@dataclass(frozen=True)
class Link:
    """A path without a weight of its own: through the residual stream or through attention."""

    source: Node
    target: Node


def edges(circuit: Circuit, model: GPT) -> tuple[Edge, ...]:
    """Every nonzero weight between kept nodes, biases left out (METHOD: the size of a circuit)."""
    return tuple(
        edge
        for layer in range(model.config.n_layer)
        for block, source, target in EDGE_KINDS
        for edge in _between(
            circuit, model, Location(layer, block, source), Location(layer, block, target)
        )
    )


def _between(circuit: Circuit, model: GPT, source: Location, target: Location) -> Iterator[Edge]:
    into, out_of = circuit.nodes.get(target, ()), circuit.nodes.get(source, ())
    if not into or not out_of:
        return
    weight = weights_out_of(model, source, target, out_of)[list(into)]
    places = cast(list[list[int]], weight.nonzero().tolist())
    for row, column in places:
        yield Edge(
            Node(source, out_of[column]), Node(target, into[row]), float(weight[row, column])
        )


def weight_between(
    model: GPT, source: Location, target: Location
) -> Float[Tensor, "target source"]:
    """The matrix that carries ``source`` into ``target`` inside one block, dense.

    Where the model keeps it compressed it is made anew at each call: see ``matrix_between``.
    """
    linear, first = _map_between(model, source, target)
    width = model.config.width(target)
    if isinstance(linear, SparseLinear):
        return linear.matrix.rows(first, first + width).dense()
    return linear.weight[first : first + width]


def weights_out_of(
    model: GPT, source: Location, target: Location, channels: Sequence[int]
) -> Float[Tensor, "target channel"]:
    """The columns of that matrix for some channels of ``source``, dense, in the order given."""
    linear, first = _map_between(model, source, target)
    width = model.config.width(target)
    if isinstance(linear, SparseLinear):
        rows = torch.arange(first, first + width)
        return linear.matrix.select(rows, torch.tensor(channels, dtype=torch.long)).dense()
    return linear.weight[first : first + width, list(channels)].detach()


def carried(
    model: GPT, source: Location, target: Location, x: Float[Tensor, "row source"]
) -> Float[Tensor, "row target"]:
    """What that matrix makes of values of ``source``, without the bias."""
    linear, first = _map_between(model, source, target)
    width = model.config.width(target)
    if isinstance(linear, SparseLinear):
        return SparseLinear(linear.matrix.rows(first, first + width), None)(x)
    return F.linear(x, linear.weight[first : first + width].detach())


def matrix_between(model: GPT, source: Location, target: Location) -> SparseMatrix:
    """The same without its zeros; shared with the model where that keeps it so."""
    linear, first = _map_between(model, source, target)
    width = model.config.width(target)
    if isinstance(linear, SparseLinear):
        return linear.matrix.rows(first, first + width)
    return SparseMatrix.from_dense(linear.weight[first : first + width].cpu())


def _map_between(
    model: GPT, source: Location, target: Location
) -> tuple[nn.Linear | SparseLinear, int]:
    """The linear map from ``source`` to ``target``, and the first of its rows that is meant."""
    assert source.layer is not None, f"{source} is inside no block"
    block = model.blocks[source.layer]
    if source.block == "mlp":
        return (block.mlp.c_fc if target.kind == "post_act" else block.mlp.c_proj), 0
    if target.kind == "resid_delta":
        return block.attn.c_proj, 0
    return block.attn.c_attn, "qkv".index(target.kind) * model.config.d_attn


def bias_of(model: GPT, target: Location) -> Float[Tensor, " target"] | None:
    """The bias of the linear map into ``target``; None in a model without biases."""
    assert target.layer is not None, f"{target} is inside no block"
    block = model.blocks[target.layer]
    if target.block == "mlp":
        return (block.mlp.c_fc if target.kind == "post_act" else block.mlp.c_proj).bias
    if target.kind == "resid_delta":
        return block.attn.c_proj.bias
    bias: Tensor | None = getattr(block.attn.c_attn, "bias", None)
    first = "qkv".index(target.kind) * model.config.d_attn
    return None if bias is None else bias[first : first + model.config.d_attn]


def residual_links(circuit: Circuit) -> tuple[Link, ...]:
    """From each kept residual write to every later kept read of the same channel."""
    found: list[Link] = []
    writes: dict[int, list[Node]] = defaultdict(list)
    for node in sorted(circuit.node_list):
        if node.location.writes_residual:
            writes[node.channel].append(node)
        elif node.location.reads_residual:
            found += [Link(write, node) for write in writes[node.channel]]
    return tuple(found)


def attention_links(circuit: Circuit, d_head: int) -> tuple[Link, ...]:
    """From kept keys and queries to kept values of the same head: what decides where v is read."""
    found: list[Link] = []
    for location, kept in circuit.nodes.items():
        if location.kind not in ("q", "k"):
            continue
        values = Location(location.layer, location.block, "v")
        found += [
            Link(Node(location, channel), Node(values, value))
            for channel in kept
            for value in circuit.nodes.get(values, ())
            if value // d_head == channel // d_head
        ]
    return tuple(found)
