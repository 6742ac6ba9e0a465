"""Switch a node off in the sparse model: does the dense one fail? For all nodes of a circuit.

Both models run whole. The effect of a node is the rise of the mean task loss when it is held at
its reference mean; in the dense model that change arrives over the bridge. The control is the
same with the decoder's channels shuffled. The norms' gains count, so that a change of one size is
compared with the same change.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from circuit_sparsity.bridges.pair import Pair
from circuit_sparsity.bridges.runs import Addition
from circuit_sparsity.bridges.transfer import Carrier, NodeEdit, Shift, site_of
from circuit_sparsity.circuits.means import Means
from circuit_sparsity.circuits.recipe import MEAN
from circuit_sparsity.core.names import Node
from circuit_sparsity.experiment.experiment import Cancelled
from circuit_sparsity.tasks.task import TaskBatch

BOOTSTRAPS = 1000


@dataclass(frozen=True)
class NodeEffect:
    """Rises of the mean task loss in nats per sequence when one node is held at its mean."""

    node: Node
    sparse: float
    dense: float  # over the bridge
    shuffled: float  # over a bridge whose channels are shuffled


@dataclass(frozen=True)
class Agreement:
    """How the effects of many nodes in one model go with those in the other."""

    correlation: float  # Spearman's, over the nodes
    low: float  # 95% bootstrap interval, nodes drawn with replacement
    high: float
    top: int  # of the nodes with the largest effect in each model, how many are the same
    of: int  # largest nodes that were looked at


@dataclass(frozen=True)
class Effects:
    """Every node of a circuit that a bridge carries, and how well the two models agree."""

    nodes: tuple[NodeEffect, ...]
    left_out: tuple[Node, ...]  # behind the last site, or position channels
    bridge: Agreement
    shuffled: Agreement


def effects(
    pair: Pair,
    batch: TaskBatch,
    nodes: Sequence[Node],
    means: Means,
    progress: Callable[[int, int], None] = lambda done, of: None,
    cancel: threading.Event | None = None,
    seed: int = 0,
) -> Effects:
    """The effect of each node in both models on these prompts.

    Raises ValueError when fewer than three nodes go over a bridge, Cancelled when ``cancel`` is
    set meanwhile.
    """
    carrier, order = Carrier(pair, batch, gains=True), _shuffled_channels(pair, seed)
    of_sparse = carrier.sparse.outcome().loss
    of_dense = carrier.dense.outcome().loss
    found: list[NodeEffect] = []
    left_out: list[Node] = []
    for done, node in enumerate(nodes):
        if cancel is not None and cancel.is_set():
            raise Cancelled(f"stopped after {done} of {len(nodes)} nodes")
        if not is_carried(pair, node):
            left_out.append(node)
            continue
        shifts = carrier.shifts([NodeEdit(node, MEAN)], means)
        in_sparse = carrier.in_sparse(shifts, 1.0).loss - of_sparse
        in_dense = carrier.dense.outcome(carrier.additions(shifts)).loss - of_dense
        control = carrier.dense.outcome(_shuffled(carrier, shifts, order)).loss - of_dense
        found.append(NodeEffect(node, in_sparse, in_dense, control))
        progress(done + 1, len(nodes))
    if len(found) < 3:
        raise ValueError(
            f"{len(found)} of {len(nodes)} nodes go over a bridge; expected at least 3 to compare"
        )
    ours = torch.tensor([one.sparse for one in found])
    theirs = torch.tensor([one.dense for one in found])
    control = torch.tensor([one.shuffled for one in found])
    return Effects(
        tuple(found),
        tuple(left_out),
        agreement(ours, theirs, seed),
        agreement(ours, control, seed),
    )


def is_carried(pair: Pair, node: Node) -> bool:
    """Whether a bridge takes an edit of this node to the dense model."""
    try:
        site_of(pair, node)
    except ValueError:
        return False
    return True


def agreement(
    one: Float[Tensor, " node"], other: Float[Tensor, " node"], seed: int = 0, top: int = 10
) -> Agreement:
    """Spearman's correlation with its bootstrap interval, and how many of the largest agree.

    >>> told = agreement(torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([2.0, 4.0, 6.0, 8.0]))
    >>> round(told.correlation, 6), told.top
    (1.0, 4)
    """
    n = len(one)
    generator = torch.Generator().manual_seed(seed)
    draws = torch.randint(n, (BOOTSTRAPS, n), generator=generator)
    rows = torch.stack([spearman(one[draw], other[draw]) for draw in draws])
    rows = rows[rows.isfinite()]  # a draw of one node alone has no correlation
    low, high = rows.quantile(torch.tensor([0.025, 0.975])).tolist()
    k = min(top, n)
    both = set(one.topk(k).indices.tolist()) & set(other.topk(k).indices.tolist())
    return Agreement(float(spearman(one, other)), low, high, len(both), k)


def spearman(one: Float[Tensor, " node"], other: Float[Tensor, " node"]) -> Float[Tensor, ""]:
    """Pearson's correlation of ranks, equal values sharing their mean rank; NaN where all equal."""
    return torch.corrcoef(torch.stack((_ranks(one), _ranks(other))))[0, 1]


def _ranks(x: Float[Tensor, " node"]) -> Float[Tensor, " node"]:
    below = (x[None] < x[:, None]).sum(dim=1)
    equal = (x[None] == x[:, None]).sum(dim=1)
    return below + (equal - 1) / 2


def _shuffled_channels(pair: Pair, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(pair.bridges.d_sparse, generator=generator)


def _shuffled(carrier: Carrier, shifts: Sequence[Shift], order: Tensor) -> tuple[Addition, ...]:
    """The additions over a bridge that takes each channel for another."""
    return carrier.additions([replace(s, stream=s.stream[..., order]) for s in shifts])
