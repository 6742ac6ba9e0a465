"""The strongest ways through a circuit, from a token that is read to the answer's logits."""

# torch does not type Tensor.tolist
# pyright: reportUnknownMemberType=false

import heapq
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import cast

import torch

from circuit_sparsity.circuits.edges import Edge
from circuit_sparsity.circuits.wiring import Neighbour, Wiring
from circuit_sparsity.core.model import GPT
from circuit_sparsity.core.names import FINAL_RESID, Node


@dataclass(frozen=True)
class Path:
    """Nodes that follow each other, and how each is joined to the one before."""

    nodes: tuple[Node, ...]
    joins: tuple[Neighbour, ...]  # one less than nodes; each names the later node
    strength: float  # nats: the least of what its edges cost
    total: float  # nats: the sum of that

    def __lt__(self, other: "Path") -> bool:
        return (self.strength, self.total) < (other.strength, other.total)


def strongest_paths(
    wiring: Wiring,
    costs: Mapping[Edge, float],
    starts: Collection[Node],
    ends: Collection[Node],
    crosses: bool = False,
    n: int = 5,
) -> tuple[Path, ...]:
    """The ``n`` strongest paths from one of ``starts`` to one of ``ends``, strongest first.

    A path is as strong as its weakest edge: the least |rise of the loss| when one of its edges
    alone is ablated. Links through the residual stream and attention have no weight and weaken
    nothing. Of equally strong ones, those whose edges cost more together come first. Where the
    token is not the one at which the answer is read, it ``crosses``: the path enters a key or a
    value, as nothing else leads from one position to another.
    """
    weights = {(edge.source, edge.target): abs(costs[edge]) for edge in wiring.edges}
    found: dict[tuple[Node, bool], list[Path]] = {}
    for node in sorted(wiring.nodes):
        if node in starts:
            found.setdefault((node, False), []).append(Path((node,), (), float("inf"), 0.0))
        for crossed in (False, True):
            for path in found.get((node, crossed), ()):
                for join in wiring.out_of(node):
                    cost = weights[node, join.node] if join.weight is not None else None
                    moves = join.weight is not None and join.node.location.kind in ("k", "v")
                    _keep(found, (join.node, crossed or moves), _longer(path, join, cost), n)
    arrived = (found.get((end, crossed), ()) for end in ends for crossed in {crosses, True})
    return tuple(heapq.nlargest(n, (path for some in arrived for path in some if path.joins)))


def reads_of_token(wiring: Wiring, model: GPT, token: int) -> tuple[Node, ...]:
    """The kept reads of channels that the embedding of ``token`` writes."""
    row = model.get_parameter("transformer.wte.weight")[token]
    width = model.config.d_model
    return tuple(
        node
        for node in wiring.nodes
        if node.location.kind == "act_in" and node.channel < width and float(row[node.channel])
    )


def logit_slopes(wiring: Wiring, model: GPT, right: int, wrong: int) -> Mapping[Node, float]:
    """What a unit of each kept final channel adds to the right answer's logit less the wrong's.

    Through the gain of the last norm, before its scale. Channels that add nothing are left out.
    """
    rows = model.lm_head.weight.detach()[torch.tensor([right, wrong])].float()
    gain = model.get_parameter("transformer.ln_f.weight").detach().float()
    apart = cast(list[float], ((rows[0] - rows[1]) * gain).tolist())
    final = (node for node in wiring.nodes if node.location == FINAL_RESID)
    return {node: apart[node.channel] for node in final if apart[node.channel] != 0}


def _longer(path: Path, join: Neighbour, cost: float | None) -> Path:
    strength, total = path.strength, path.total
    if cost is not None:
        strength, total = min(strength, cost), total + cost
    return Path((*path.nodes, join.node), (*path.joins, join), strength, total)


def _keep(
    found: dict[tuple[Node, bool], list[Path]], key: tuple[Node, bool], path: Path, n: int
) -> None:
    """Of the paths to one place, the best ``n``: more are never needed further on."""
    heap = found.setdefault(key, [])
    if len(heap) < n:
        heapq.heappush(heap, path)
    else:
        heapq.heappushpop(heap, path)
