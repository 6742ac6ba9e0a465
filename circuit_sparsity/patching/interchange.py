"""Interchange accuracy: how often patching a set of nodes turns the answer into the other prompt's.

Interchange interventions (Geiger et al. 2021, arXiv 2106.02997): the set has, at every token, what
it has in the pair's other prompt. Random sets of the same size, drawn from the circuit's other
nodes where it has enough, say what the number is worth.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from circuit_sparsity.core.names import Node
from circuit_sparsity.experiment.experiment import Cancelled, Experiment, Progress
from circuit_sparsity.patching.pairs import Pairs, pairs_of

DRAWS = 20
SEED = 0


@dataclass(frozen=True)
class Interchange:
    """Shares of the prompts that count: those whose answer in the circuit is the pair's one here
    and its other one there."""

    nodes: tuple[Node, ...]
    accuracy: float  # patching them gives the other prompt's answer
    random: tuple[float, ...]  # the same of each random set of as many nodes
    counted: int
    prompts: int

    @property
    def of_random(self) -> float:
        """Mean over the random sets."""
        return sum(self.random) / len(self.random) if self.random else float("nan")


def interchange(
    experiment: Experiment,
    nodes: Sequence[Node | str],
    draws: int = DRAWS,
    seed: int = SEED,
    progress: Progress = lambda done, of: None,
    cancel: threading.Event | None = None,
) -> Interchange:
    """Interchange accuracy of ``nodes`` together, and of ``draws`` random sets of as many.

    Raises ValueError for no nodes, for one that the circuit does not keep, and where no prompt
    counts; Cancelled when ``cancel`` is set meanwhile.
    """
    named = [Node.parse(node) if isinstance(node, str) else node for node in nodes]
    chosen = experiment.circuit.require(dict.fromkeys(named))
    if not chosen:
        raise ValueError("no nodes to patch: name at least one")
    pairs = pairs_of(experiment)
    counts = _counts(pairs)
    sets = [chosen, *_random_sets(experiment.circuit.node_list, chosen, draws, seed)]
    found = list[float]()
    for done, some in enumerate(sets):
        if cancel is not None and cancel.is_set():
            raise Cancelled(f"stopped after {done} of {len(sets)} sets")
        found.append(_accuracy(pairs, some, counts))
        progress(done + 1, len(sets))
    counted = int(counts.sum())
    return Interchange(chosen, found[0], tuple(found[1:]), counted, len(pairs.batch))


def interchange_each(
    experiment: Experiment,
    progress: Progress = lambda done, of: None,
    cancel: threading.Event | None = None,
) -> tuple[Interchange, ...]:
    """Interchange accuracy of each kept node alone; its random sets are all the other nodes.

    Raises as `interchange` does.
    """
    pairs, nodes = pairs_of(experiment), experiment.circuit.node_list
    counts, found = _counts(pairs), list[float]()
    for done, node in enumerate(nodes):
        if cancel is not None and cancel.is_set():
            raise Cancelled(f"stopped after {done} of {len(nodes)} nodes")
        found.append(_accuracy(pairs, [node], counts))
        progress(done + 1, len(nodes))
    counted, prompts = int(counts.sum()), len(pairs.batch)
    return tuple(
        Interchange((node,), own, tuple(found[:i] + found[i + 1 :]), counted, prompts)
        for i, (node, own) in enumerate(zip(nodes, found, strict=True))
    )


def _counts(pairs: Pairs) -> Bool[Tensor, " prompt"]:
    found = (pairs.here > 0) & (pairs.there < 0)
    if not bool(found.any()):
        raise ValueError(
            f"on none of {len(pairs.batch)} prompts does the circuit answer rightly while it gives "
            "the other answer on the pair's other prompt: interchange accuracy is undefined"
        )
    return found


def _accuracy(pairs: Pairs, nodes: Sequence[Node], counts: Bool[Tensor, " prompt"]) -> float:
    everywhere = np.zeros(tuple(pairs.batch.tokens.shape), dtype=np.int64)
    after = pairs.margins(1, [(node, everywhere) for node in nodes])[0]
    return float((after < 0)[counts].float().mean())


def _random_sets(
    kept: Sequence[Node], chosen: Sequence[Node], draws: int, seed: int
) -> list[list[Node]]:
    """Sets of as many kept nodes: of those not chosen, where there are enough."""
    rest = [node for node in kept if node not in set(chosen)]
    pool = rest if len(rest) >= len(chosen) else list(kept)
    generator = torch.Generator().manual_seed(seed)
    orders = [torch.randperm(len(pool), generator=generator) for _ in range(draws)]
    return [[pool[i] for i in order[: len(chosen)].tolist()] for order in orders]
