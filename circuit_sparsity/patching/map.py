"""The patching map: what giving a part its value in the other prompt, at one token, does.

Activation patching (Zhang & Nanda 2024, arXiv 2309.16042) in a compiled circuit: a cell is a run of
the circuit in which one part has, at one token, what it has in the pair's other prompt.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.circuits.positions import LAST, Positions
from circuit_sparsity.circuits.recipe import Level, Recipe, Step
from circuit_sparsity.core.names import Node
from circuit_sparsity.experiment.experiment import Experiment
from circuit_sparsity.experiment.sources import token_rows
from circuit_sparsity.patching.pairs import Pairs, pairs_of

By = Literal["node", "head", "block", "location"]
CLASSES = ("last", "differing", "rest")
SAME_ANSWER = 0.01  # nats: log odds nearer than that leave the share undefined


@dataclass(frozen=True, eq=False)
class PatchingMap:
    """Log odds of a prompt's right answer against its wrong one, in nats, by part and token."""

    prompt: int  # of the experiment's prompts
    tokens: tuple[int, ...]
    other_tokens: tuple[int, ...]
    places: tuple[int, ...]  # of each token its counterpart's position there; -1 for none
    parts: Mapping[str, tuple[Node, ...]]  # the rows: a node, or the kept nodes of a part
    here: float  # nothing patched
    there: float  # of the same two answers on the other prompt
    log_odds: Float[Tensor, "part pos"]

    @property
    def share(self) -> Float[Tensor, "part pos"]:
        """0 where the answer is this prompt's, 1 where it is the other's; NaN where those agree."""
        return share(self.log_odds, self.here, self.there)

    def strongest(self, most: int = 10) -> list[tuple[str, int, float]]:
        """The cells that move the answer most: part, token, share; the largest first.

        Cells that do not move it at all are left out.
        """
        moved = self.share.nan_to_num().abs().flatten()
        order, width = moved.argsort(descending=True, stable=True)[:most], len(self.tokens)
        names, shares = list(self.parts), self.share.flatten()
        cells = [i for i in order.tolist() if float(moved[i]) > 0]
        return [(names[i // width], i % width, float(shares[i])) for i in cells]


@dataclass(frozen=True, eq=False)
class ClassMap:
    """Means over prompts of what patching a part at a class of tokens does, as a share.

    Classes: the last token, the tokens that differ between the two prompts, and the rest. A token
    that is last and differs counts as last. 0 is the prompt's own answer, 1 the other's: the mean
    change of the log odds over the mean distance between the two prompts.
    """

    prompts: int
    here: float  # mean log odds in nats
    there: float
    parts: Mapping[str, tuple[Node, ...]]
    share: Float[Tensor, "part class"]


def share(log_odds: Float[Tensor, "*cell"], here: float, there: float) -> Float[Tensor, "*cell"]:
    """(log odds − here) / (there − here); NaN where here and there are within 0.01 nats."""
    if abs(there - here) < SAME_ANSWER:
        return torch.full_like(log_odds, float("nan"))
    return (log_odds - here) / (there - here) + 0.0  # no minus before a zero


def parts_by(circuit: Circuit, d_head: int, by: By = "node") -> dict[str, tuple[Node, ...]]:
    """The kept nodes in groups: each alone, or by head, block or location, in order.

    A head has the queries, keys and values of its channels; ``by`` "head" leaves other nodes out.
    ValueError for an unknown ``by``.
    """
    if by not in get_args(By):
        raise ValueError(f"parts by {by!r}; expected one of {', '.join(get_args(By))}")
    found = defaultdict[str, list[Node]](list)
    for node in circuit.node_list:
        place = node.location
        if by == "node":
            found[str(node)].append(node)
        elif by == "location":
            found[str(place)].append(node)
        elif by == "block":
            found[place.block_name].append(node)
        elif place.kind in ("q", "k", "v"):
            found[f"{place.block_name}.head{node.channel // d_head}"].append(node)
    return {name: tuple(nodes) for name, nodes in found.items()}


def patching_map(experiment: Experiment, prompt: int = 0, by: By = "node") -> PatchingMap:
    """The map of one prompt of ``experiment``, patched from the pair's other one.

    Prompt ``i`` and ``i + n_pairs`` are a pair. A token without a counterpart, in a pair of two
    lengths, is left as it is. Raises ValueError for a prompt that is not there.

    >>> from circuit_sparsity.experiment.opening import open_circuit
    >>> circuit = open_circuit("starter", "single_double_quote", "prune", "k44_seed0")
    >>> patching_map(circuit, 1).strongest(1)[0][:2]
    ('0.attn.v:213', 23)
    """
    pairs = pairs_of(experiment, [prompt])
    parts = parts_by(experiment.circuit, experiment.model.config.d_head, by)
    width = pairs.batch.tokens.shape[1]
    changes = [
        (node, row * width + np.arange(width)[None])
        for row, nodes in enumerate(parts.values())
        for node in nodes
    ]
    log_odds = pairs.margins(len(parts) * width, changes)
    (tokens,), (other,) = token_rows(pairs.batch), token_rows(pairs.other)
    return PatchingMap(
        prompt=prompt,
        tokens=tuple(tokens),
        other_tokens=tuple(other),
        places=tuple(pairs.places[0].tolist()),
        parts=parts,
        here=float(pairs.here[0]),
        there=float(pairs.there[0]),
        log_odds=log_odds.view(len(parts), width),
    )


def class_map(
    experiment: Experiment, by: By = "node", prompts: Sequence[int] | None = None
) -> ClassMap:
    """Mean over prompts (all of them) by class of tokens: last, differing, the rest."""
    pairs = pairs_of(experiment, prompts)
    parts = parts_by(experiment.circuit, experiment.model.config.d_head, by)
    classes, names = _classes(pairs), len(CLASSES)
    found = torch.cat(
        [
            pairs.margins(names, [(node, classes) for node in nodes]).mean(1)[None]
            for nodes in parts.values()
        ]
    )  # part class
    here, there = float(pairs.here.mean()), float(pairs.there.mean())
    return ClassMap(len(pairs.batch), here, there, parts, share(found, here, there))


def _classes(pairs: Pairs) -> np.ndarray:
    """By token the number of its class."""
    last = torch.arange(pairs.batch.tokens.shape[1])[None] == pairs.batch.last[:, None]
    found = torch.where(pairs.differing, 1, 2)
    return torch.where(last, 0, found).numpy()


def steps_for(nodes: Sequence[Node], position: int | None, last: int = -1) -> Recipe:
    """The recipe of a cell: each of ``nodes`` patched from the pair's other prompt at one token.

    ``position`` None is every token; the position ``last`` is written as such.
    """
    at = Positions() if position is None else Positions("range", position, position)
    at = LAST if position is not None and position == last else at
    return Recipe(tuple(Step(node, level=Level("pair"), positions=at) for node in nodes))
