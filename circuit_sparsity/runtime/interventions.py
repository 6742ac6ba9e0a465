"""Circuits whose parts are set to values or scaled, besides held at means or at zero."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.circuits.edges import Edge
from circuit_sparsity.circuits.means import Means
from circuit_sparsity.circuits.recipe import Level
from circuit_sparsity.core.hooks import Hook, chain, no_hook
from circuit_sparsity.core.model import GPT
from circuit_sparsity.core.names import Location, Node
from circuit_sparsity.runtime.ablation import mean_fill
from circuit_sparsity.runtime.compiled.folded_run import Cut, FoldedRun, sets_of
from circuit_sparsity.runtime.compiled.masked_run import FullRun, Without, finish
from circuit_sparsity.runtime.compiled.run import CircuitRun
from circuit_sparsity.runtime.prefix_cache import ResumableRun

Change = tuple[Node | Edge, Level]


def margins_changed(
    run: CircuitRun, sets: Sequence[Sequence[Change]]
) -> Float[Tensor, "set prompt"]:
    """For each set of changes, the right answer's logit less the wrong one's.

    A node is at its level at every position, after its place's top-k; an edge's target alone sees
    its source at that level. "scale" multiplies what the part is in this very run. Raises
    ValueError for a part that is at two levels, and for one that the circuit does not have.
    """
    _one_level_each(sets)
    for changes in sets:
        parts = [part for part, _ in changes]
        ends = [(p.source, p.target) if isinstance(p, Edge) else (p,) for p in parts]
        run.circuit.require(node for pair in ends for node in pair)
    if isinstance(run, FoldedRun):
        return _folded(run, sets)
    assert isinstance(run, FullRun), f"a circuit runs folded or in full, not as {type(run)}"
    return _full(run, sets)


def hook_changed(
    circuit: Circuit | None, model: GPT, means: Means, changes: Sequence[Change]
) -> Hook:
    """A hook for one pass of ``model`` over any tokens: the circuit with ``changes``.

    Without a circuit the whole model runs, and only what ``changes`` name is not as it was.
    """
    nowhere = torch.empty(0, 0, dtype=torch.long)
    alive = no_hook if circuit is None else mean_fill(circuit.masks(model.config), means)
    run = ResumableRun(model, alive, means, nowhere, nowhere.flatten(), ())
    return chain(alive, _Changed(run, changes))


def _one_level_each(sets: Sequence[Sequence[Change]]) -> None:
    levels: dict[Node | Edge, Level] = {}
    for part, level in (change for changes in sets for change in changes):
        if levels.setdefault(part, level) != level:
            raise ValueError(
                f"{part} is {levels[part].in_words} and {level.in_words} in one call; expected "
                "one level a part: make two calls"
            )


def _folded(run: FoldedRun, sets: Sequence[Sequence[Change]]) -> Float[Tensor, "set prompt"]:
    numbering, means = run.folded.numbering, run.folded.stream.node_means
    held = np.zeros((len(sets), len(means)), dtype=np.bool_)
    scaled, start = np.zeros_like(held), np.zeros(len(sets), dtype=np.int64)
    cuts: list[Cut] = []
    for i, changes in enumerate(sets):
        nodes = {part: level.how for part, level in changes if isinstance(part, Node)}
        held[i, [numbering.node[node] for node, how in nodes.items() if how != "scale"]] = True
        scaled[i, [numbering.node[node] for node, how in nodes.items() if how == "scale"]] = True
        found = [_cut(run, i, part, at) for part, at in changes if isinstance(part, Edge)]
        cuts += [cut for cut in found if cut is not None]
        live = [node.location for node in nodes if numbering.is_live(node.location)]
        places = [numbering.place[location] for location in live]
        places += [cut.location for cut in found if cut is not None]
        start[i] = min(places, default=len(numbering.places) - 1)
    level, factor, shift = _node_levels(run, sets)
    made = sets_of(start, held, level, cuts, len(numbering.places))
    return run.execute(made._replace(scaled=scaled, factor=factor, shift=shift))


def _node_levels(
    run: FoldedRun, sets: Sequence[Sequence[Change]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """By node: the excess of what it is held at; what it is multiplied by, and what that adds."""
    means = run.folded.stream.node_means
    level, factor, shift = np.zeros_like(means), np.ones_like(means), np.zeros_like(means)
    for part, at in (change for changes in sets for change in changes):
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
def _full(run: FullRun, sets: Sequence[Sequence[Change]]) -> Float[Tensor, "set prompt"]:
    rows = torch.arange(len(run.right), device=run.right.device)
    found = [torch.empty(0, len(rows), device=rows.device)]
    for changes in sets:
        places = [part.target if isinstance(part, Edge) else part for part, _ in changes]
        start = [run.run.depth(node.location) for node in places]
        logits = run.run.base
        if changes:
            logits = run.run.resume(min(start), _Changed(run.run, changes))
        found.append((logits[rows, run.right] - logits[rows, run.wrong])[None])
    return torch.cat(found)  # set prompt


class _Changed(Without):
    """A hook for after the fill that puts every part at its own level."""

    def __init__(self, run: ResumableRun, changes: Sequence[Change]) -> None:
        super().__init__(run, [part for part, _ in changes], "zero")
        self.levels = dict(changes)

    def __call__(self, name: str, x: Tensor) -> Tensor:
        if name in self.edges:
            x = self.run.fill(name, self.without_edges(Location.parse(name), self.edges[name]))
        if name in self.nodes:
            x = x.clone()
            for channel in self.nodes[name]:
                node = Node(Location.parse(name), channel)
                x[..., channel] = self._at(node, x[..., channel], self.levels[node])
        self.seen[name] = x
        return x

    def _at(self, node: Node, x: Tensor, level: Level) -> Tensor:
        if level.how == "scale":
            return x * level.value
        mean = float(self.run.means.values[node.location][node.channel])
        return torch.full_like(x, _value(level, mean))

    def without_edges(self, target: Location, edges: list[Edge]) -> Tensor:
        before = self.before(target).clone()
        for edge in edges:
            x = self.seen[str(edge.source.location)][..., edge.source.channel]
            lost = x - self._at(edge.source, x, self.levels[edge])
            before[..., edge.target.channel] -= edge.weight * self.as_read(edge.source, lost)
        return finish(self.run.model, target, before)
