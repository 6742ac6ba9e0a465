"""Everything that a node of a model reads and writes, whether a circuit keeps it or not."""

import torch
from jaxtyping import Float
from torch import Tensor

from circuit_sparsity.circuits.edges import EDGE_KINDS, matrix_between
from circuit_sparsity.circuits.wiring import Neighbour
from circuit_sparsity.core.model import GPT
from circuit_sparsity.core.names import FINAL_RESID, Location, Node, circuit_locations


def require_node(model: GPT, node: Node) -> Node:
    """``node``; ValueError when the model has no such place or channel."""
    config = model.config
    if node.location not in circuit_locations(config.n_layer):
        raise ValueError(
            f"{node} is no node of this model, which has {config.n_layer} layers, 0 to "
            f"{config.n_layer - 1}; expected such as 0.mlp.post_act:0"
        )
    if node.channel >= config.width(node.location):
        raise ValueError(
            f"{node} is no node of this model: {node.location} has channels 0 to "
            f"{config.width(node.location) - 1}"
        )
    return node


def into(model: GPT, node: Node) -> tuple[Neighbour, ...]:
    """What feeds ``node`` in the whole model: nonzero weights, strongest first, then links.

    A residual read has no weights of its own: it is linked to every earlier write of its channel.
    A value is linked to the queries and keys of its head, which decide where it is read.
    """
    here = node.location
    if here.reads_residual:
        places = circuit_locations(model.config.n_layer)
        writes = [p for p in places if p.writes_residual and p < here]
        return _linked(writes, node.channel, model)
    found = []
    for source, target in _maps(here):
        if target == here:
            matrix = matrix_between(model, source, target)
            first, last = (int(x) for x in matrix.starts[node.channel : node.channel + 2])
            channels, weights = matrix.columns[first:last], matrix.values[first:last]
            found += _weighted(source, channels, weights)
    links = _of_head(model, node, "qk") if here.kind == "v" else ()
    return (*_sorted(found), *links)


def out_of(model: GPT, node: Node) -> tuple[Neighbour, ...]:
    """What ``node`` feeds in the whole model: nonzero weights, strongest first, then links.

    A residual write is linked to every later read of its channel, a query or a key to the values
    of its head: it decides where they are read.
    """
    here = node.location
    if here.writes_residual:
        places = circuit_locations(model.config.n_layer)
        reads = [p for p in places if p.reads_residual and p > here]
        return _linked(reads, node.channel, model)
    found = []
    for source, target in _maps(here):
        if source == here:
            matrix = matrix_between(model, source, target)
            at = matrix.columns == node.channel
            found += _weighted(target, matrix.row_indices()[at], matrix.values[at])
    links = _of_head(model, node, "v") if here.kind in ("q", "k") else ()
    return (*_sorted(found), *links)


def written(model: GPT, node: Node) -> Float[Tensor, " d_model"] | None:
    """What one unit of ``node`` writes to the residual stream; None where it writes nothing.

    A value's unit is read through attention: this is what it brings where it is attended to with
    weight 1. A read of the residual stream, a query and a key write nothing themselves.
    """
    direction = torch.zeros(model.config.d_model)
    if node.location.writes_residual or node.location == FINAL_RESID:
        direction[node.channel] = 1.0
        return direction
    if node.location.kind not in ("v", "post_act"):
        return None
    for near in out_of(model, node):
        direction[near.node.channel] = near.weight or 0.0
    return direction


def _maps(here: Location) -> list[tuple[Location, Location]]:
    """Source and target of every linear map of the block of ``here``."""
    return [
        (Location(here.layer, block, source), Location(here.layer, block, target))
        for block, source, target in EDGE_KINDS
        if block == here.block
    ]


def _linked(places: list[Location], channel: int, model: GPT) -> tuple[Neighbour, ...]:
    """Nobody else reads or writes a position channel."""
    if channel >= model.config.d_model:
        return ()
    return tuple(Neighbour(Node(place, channel), "residual stream") for place in places)


def _of_head(model: GPT, node: Node, kinds: str) -> tuple[Neighbour, ...]:
    width = model.config.d_head
    first = node.channel // width * width
    return tuple(
        Neighbour(Node(Location(node.location.layer, "attn", kind), channel), "attention")
        for kind in kinds
        for channel in range(first, first + width)
    )


def _weighted(place: Location, channels: Tensor, weights: Tensor) -> list[Neighbour]:
    pairs = zip(channels.tolist(), weights.tolist(), strict=True)
    return [Neighbour(Node(place, channel), "weight", weight) for channel, weight in pairs]


def _sorted(found: list[Neighbour]) -> tuple[Neighbour, ...]:
    kept = (near for near in found if near.weight)
    return tuple(sorted(kept, key=lambda near: (-abs(near.weight or 0.0), near.node)))
