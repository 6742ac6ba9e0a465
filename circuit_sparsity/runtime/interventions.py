"""Circuits whose parts are set to values, scaled, or patched at some tokens."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.circuits.edges import Edge
from circuit_sparsity.circuits.means import Means
from circuit_sparsity.circuits.recipe import Level
from circuit_sparsity.core.hooks import Hook, chain, no_hook
from circuit_sparsity.core.model import GPT
from circuit_sparsity.core.names import Location, Node
from circuit_sparsity.runtime.ablation import mean_fill
from circuit_sparsity.runtime.compiled.folded_run import (
    NO_PATCHES,
    Cut,
    FoldedRun,
    Patches,
    sets_of,
)
from circuit_sparsity.runtime.compiled.masked_run import FullRun, Without, finish
from circuit_sparsity.runtime.compiled.run import CircuitRun
from circuit_sparsity.runtime.prefix_cache import ResumableRun

Change = tuple[Node | Edge, Level]  # a level that is a constant, at every token


@dataclass(frozen=True, eq=False)
class Patch:
    """A part at some tokens of the prompts of a run, by prompt and position.

    Where ``at`` is true it is ``factor`` times what it is in this very run, plus ``value``; for an
    edge, its target sees its source so. Padding may be marked: nothing reads it.
    """

    part: Node | Edge
    at: Bool[Tensor, "prompt pos"]
    value: Float[Tensor, "prompt pos"]
    factor: float = 0.0


Intervention = Change | Patch


def part_of(change: Intervention) -> Node | Edge:
    """The node or edge that is changed."""
    return change.part if isinstance(change, Patch) else change[0]


def margins_changed(
    run: CircuitRun, sets: Sequence[Sequence[Intervention]]
) -> Float[Tensor, "set prompt"]:
    """For each set of changes, the right answer's logit less the wrong one's.

    A node is at its level at every position, or patched where its patch says, after its place's
    top-k; an edge's target alone sees its source so. "scale" multiplies what the part is in this
    very run. Patched nodes take a run whose prompts are apart (``CompiledCircuit.on``); patched
    edges, whose sources attention may mix over tokens, one of the full model (``full_run``).
    Raises ValueError for a part that is at two levels, and for one that the circuit does not have.
    """
    _one_level_each(sets)
    for changes in sets:
        parts = [part_of(change) for change in changes]
        ends = [(p.source, p.target) if isinstance(p, Edge) else (p,) for p in parts]
        run.circuit.require(node for pair in ends for node in pair)
    if isinstance(run, FoldedRun):
        return _folded(run, sets)
    assert isinstance(run, FullRun), f"a circuit runs folded or in full, not as {type(run)}"
    return _full(run, sets)


def hook_changed(
    circuit: Circuit | None, model: GPT, means: Means, changes: Sequence[Intervention]
) -> Hook:
    """A hook for one pass of ``model``: the circuit with ``changes``.

    The pass may be over any tokens, where there is a patch over those that it was made for.
    Without a circuit the whole model runs, and only what ``changes`` name is not as it was.
    """
    nowhere = torch.empty(0, 0, dtype=torch.long)
    alive = no_hook if circuit is None else mean_fill(circuit.masks(model.config), means)
    run = ResumableRun(model, alive, means, nowhere, nowhere.flatten(), ())
    return chain(alive, _Changed(run, changes))


def _one_level_each(sets: Sequence[Sequence[Intervention]]) -> None:
    levels: dict[Node | Edge, Level] = {}
    for part, level in _constant(change for changes in sets for change in changes):
        if levels.setdefault(part, level) != level:
            raise ValueError(
                f"{part} is {levels[part].in_words} and {level.in_words} in one call; expected "
                "one level a part: make two calls"
            )


def _constant(changes: Iterable[Intervention]) -> Iterator[Change]:
    return (change for change in changes if not isinstance(change, Patch))


def _folded(run: FoldedRun, sets: Sequence[Sequence[Intervention]]) -> Float[Tensor, "set prompt"]:
    numbering, means = run.folded.numbering, run.folded.stream.node_means
    held = np.zeros((len(sets), len(means)), dtype=np.bool_)
    scaled, start = np.zeros_like(held), np.zeros(len(sets), dtype=np.int64)
    cuts: list[Cut] = []
    patches = _patches(run, sets)
    for i, changes in enumerate(sets):
        patched = {change.part for change in changes if isinstance(change, Patch)}
        changes = list(_constant(changes))
        nodes = {part: level.how for part, level in changes if isinstance(part, Node)}
        held[i, [numbering.node[node] for node, how in nodes.items() if how != "scale"]] = True
        scaled[i, [numbering.node[node] for node, how in nodes.items() if how == "scale"]] = True
        found = [_cut(run, i, part, at) for part, at in changes if isinstance(part, Edge)]
        cuts += [cut for cut in found if cut is not None]
        named = [*nodes, *(part for part in patched if isinstance(part, Node))]
        live = [node.location for node in named if numbering.is_live(node.location)]
        places = [numbering.place[location] for location in live]
        places += [cut.location for cut in found if cut is not None]
        start[i] = min(places, default=len(numbering.places) - 1)
    level, factor, shift = _node_levels(run, sets)
    made = sets_of(start, held, level, cuts, len(numbering.places), patches)
    return run.execute(made._replace(scaled=scaled, factor=factor, shift=shift))


def _patches(run: FoldedRun, sets: Sequence[Sequence[Intervention]]) -> Patches:
    found = [
        patches_of(run, change, i)
        for i, changes in enumerate(sets)
        for change in changes
        if isinstance(change, Patch)
    ]
    if not found:
        return NO_PATCHES
    return Patches(*(np.concatenate(part) for part in zip(*found, strict=True)))


def patches_of(run: FoldedRun, patch: Patch, chosen: int) -> Patches:
    """A node's patch in the set of number ``chosen``, one entry for each token that matters."""
    assert isinstance(patch.part, Node), f"{patch.part} at single tokens: take a run in full"
    number = run.folded.numbering.node[patch.part]
    mean = float(run.folded.stream.node_means[number])
    columns = run.columns(patch.part.location)
    at = patch.at[:, : columns.shape[1]].numpy() & (columns >= 0)
    value = patch.value[:, : columns.shape[1]].numpy()[at]
    count, place = len(value), run.folded.numbering.place[patch.part.location]
    return Patches(
        chosen=np.full(count, chosen),
        location=np.full(count, place),
        node=np.full(count, number),
        column=columns[at],
        factor=np.full(count, patch.factor),
        value=value + (patch.factor - 1) * mean,
    )


def _node_levels(
    run: FoldedRun, sets: Sequence[Sequence[Intervention]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """By node: the excess of what it is held at; what it is multiplied by, and what that adds."""
    means = run.folded.stream.node_means
    level, factor, shift = np.zeros_like(means), np.ones_like(means), np.zeros_like(means)
    for part, at in _constant(change for changes in sets for change in changes):
        if isinstance(part, Edge):
            continue
        node, mean = run.folded.numbering.node[part], float(means[run.folded.numbering.node[part]])
        if at.how == "scale":
            factor[node], shift[node] = at.value, (at.value - 1) * mean
        else:
            level[node] = _value(at, mean) - mean
    return level, factor, shift


def _cut(run: FoldedRun, chosen: int, edge: Edge, at: Level) -> Cut | None:
    cut = run.cut(chosen, edge)
    if cut is None:
        return None
    mean = float(run.folded.stream.node_means[run.folded.numbering.node[edge.source]])
    if at.how == "scale":
        return replace(cut, weight=(1 - at.value) * cut.weight, level=-mean)
    return replace(cut, level=_value(at, mean) - mean)


def _value(at: Level, mean: float) -> float:
    return {"mean": mean, "zero": 0.0, "set": at.value}[at.how]


@torch.no_grad()
def _full(run: FullRun, sets: Sequence[Sequence[Intervention]]) -> Float[Tensor, "set prompt"]:
    rows = torch.arange(len(run.right), device=run.right.device)
    found = [torch.empty(0, len(rows), device=rows.device)]
    for changes in sets:
        parts = [part_of(change) for change in changes]
        places = [part.target if isinstance(part, Edge) else part for part in parts]
        start = [run.run.depth(node.location) for node in places]
        logits = run.run.base
        if changes:
            logits = run.run.resume(min(start), _Changed(run.run, changes))
        found.append((logits[rows, run.right] - logits[rows, run.wrong])[None])
    return torch.cat(found)  # set prompt


class _Changed(Without):
    """A hook for after the fill that puts every part at its own level, or patches it."""

    def __init__(self, run: ResumableRun, changes: Sequence[Intervention]) -> None:
        self.changes: dict[Node | Edge, list[Intervention]] = defaultdict(list)
        for change in changes:
            self.changes[part_of(change)].append(change)
        super().__init__(run, list(self.changes), "zero")

    def __call__(self, name: str, x: Tensor) -> Tensor:
        if name in self.edges:
            x = self.run.fill(name, self.without_edges(Location.parse(name), self.edges[name]))
        if name in self.nodes:
            x = x.clone()
            for channel in self.nodes[name]:
                node = Node(Location.parse(name), channel)
                x[..., channel] = self._at(node, x[..., channel], self.changes[node])
        self.seen[name] = x
        return x

    def _at(self, node: Node, x: Tensor, changes: Sequence[Intervention]) -> Tensor:
        """What ``node`` is changed to from what it is, ``x``, one change after the other."""
        for change in changes:
            if isinstance(change, Patch):
                at, value = (y[:, : x.shape[1]].to(x.device) for y in (change.at, change.value))
                x = torch.where(at, x * change.factor + value.to(x), x)
            elif change[1].how == "scale":
                x = x * change[1].value
            else:
                mean = float(self.run.means.values[node.location][node.channel])
                x = torch.full_like(x, _value(change[1], mean))
        return x

    def without_edges(self, target: Location, edges: list[Edge]) -> Tensor:
        before = self.before(target).clone()
        for edge in edges:
            x = self.seen[str(edge.source.location)][..., edge.source.channel]
            lost = x - self._at(edge.source, x, self.changes[edge])
            before[..., edge.target.channel] -= edge.weight * self.as_read(edge.source, lost)
        return finish(self.run.model, target, before)
