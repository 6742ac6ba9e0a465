"""A circuit on prompts, any node of which can be given what it is in the pair's other prompt."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.core.names import Node
from circuit_sparsity.experiment.experiment import Experiment
from circuit_sparsity.experiment.sources import Sources, differing_tokens, token_rows
from circuit_sparsity.runtime.ablation import mean_fill
from circuit_sparsity.runtime.compiled import CircuitRun
from circuit_sparsity.runtime.compiled.folded_run import FoldedRun, Patches, sets_of
from circuit_sparsity.runtime.interventions import Patch, margins_changed
from circuit_sparsity.tasks.alignment import counterparts
from circuit_sparsity.tasks.task import TaskBatch

_SETS_AT_ONCE = 2048
_ENTRIES_AT_ONCE = 1 << 20

Chosen = Int[np.ndarray, "prompt pos"]  # by token, the set in which a node is patched; -1: in none


@dataclass(frozen=True, eq=False)
class Pairs:
    """Prompts and, row by row, the other prompt of each, asked about the same two answers."""

    circuit: Circuit
    batch: TaskBatch
    other: TaskBatch
    run: CircuitRun  # on ``batch``, prompts apart
    other_run: CircuitRun
    other_sources: Sources

    @cached_property
    def here(self) -> Float[Tensor, " prompt"]:
        """The circuit's log odds of the right answer against the wrong one, in nats."""
        return self.run.margins()

    @cached_property
    def there(self) -> Float[Tensor, " prompt"]:
        """The log odds of the same two answers on the other prompt, in nats."""
        return self.other_run.margins()

    @cached_property
    def places(self) -> Int[Tensor, "prompt pos"]:
        """Of each token the position of its counterpart in the other prompt, -1 for none."""
        found = torch.full(self.batch.tokens.shape, -1)
        rows = zip(token_rows(self.batch), token_rows(self.other), strict=True)
        for i, (one, other) in enumerate(rows):
            found[i, : len(one)] = torch.tensor(counterparts(one, other))
        return found

    @cached_property
    def differing(self) -> Bool[Tensor, "prompt pos"]:
        """The tokens that are others in the other prompt, or have no counterpart there."""
        longest = max(self.batch.tokens.shape[1], self.other.tokens.shape[1])
        both = [_padded(batch, longest) for batch in (self.batch, self.other)]
        joined = TaskBatch(*(torch.cat(parts) for parts in zip(*both, strict=True)))
        return differing_tokens(joined)[: len(self.batch), : self.batch.tokens.shape[1]]

    def value(self, node: Node) -> Float[Tensor, "prompt pos"]:
        """What ``node`` is at the counterpart of each token; 0 where there is none."""
        found = self.other_sources.on_batch([node])[node].gather(1, self.places.clamp(min=0))
        return torch.where(self.places >= 0, found, 0.0)

    def margins(
        self, count: int, changes: Sequence[tuple[Node, Chosen]]
    ) -> Float[Tensor, "set prompt"]:
        """The circuit's log odds in ``count`` sets of patched nodes, in nats.

        Each change is a node and, by token, the number of the set in which it is patched there.
        """
        if not isinstance(self.run, FoldedRun):
            return margins_changed(self.run, self._one_by_one(count, changes))
        found = self.here.expand(count, -1).clone()
        entries = [self._entries(self.run, node, chosen) for node, chosen in changes]
        joined = Patches(*(np.concatenate(part) for part in zip(*entries, strict=True)))
        order = np.argsort(joined.chosen, kind="stable")
        joined = Patches(*(part[order] for part in joined))
        used, first = np.unique(joined.chosen, return_index=True)
        ends = np.append(first, len(order))
        at = 0
        while at < len(used):
            upto = int(np.searchsorted(ends, ends[at] + _ENTRIES_AT_ONCE, side="right")) - 1
            upto = min(max(upto, at + 1), at + _SETS_AT_ONCE, len(used))
            some = Patches(*(part[ends[at] : ends[upto]] for part in joined))
            found[used[at:upto]] = _executed(self.run, some, used[at:upto])
            at = upto
        return found

    def _entries(self, run: FoldedRun, node: Node, chosen: Chosen) -> Patches:
        """Where the patched value is another than the circuit's own, and answers can see it."""
        number, place = run.folded.numbering.node[node], run.folded.numbering.place[node.location]
        columns = run.columns(node.location)
        width = columns.shape[1]
        value, own = self.value(node).numpy()[:, :width], run.values(node).numpy()
        aligned = self.places.numpy()[:, :width] >= 0
        at = aligned & (columns >= 0) & (chosen[:, :width] >= 0) & (value != own)
        at &= run.folded.numbering.is_live(node.location)
        n, mean = int(at.sum()), run.folded.stream.node_means[number]
        return Patches(
            chosen=chosen[:, :width][at],
            location=np.full(n, place),
            node=np.full(n, number),
            column=columns[at],
            factor=np.zeros(n),
            value=value[at] - mean,
        )

    def _one_by_one(self, count: int, changes: Sequence[tuple[Node, Chosen]]) -> list[list[Patch]]:
        aligned, sets = self.places >= 0, [list[Patch]() for _ in range(count)]
        for node, chosen in changes:
            value, numbers = self.value(node), torch.from_numpy(chosen)
            for i in np.unique(chosen[chosen >= 0]).tolist():
                sets[i].append(Patch(node, aligned & (numbers == i), value))
        return sets


def _executed(
    run: FoldedRun, patches: Patches, used: Int[np.ndarray, " set"]
) -> Float[Tensor, "set prompt"]:
    chosen = np.searchsorted(used, patches.chosen)
    start = np.full(len(used), len(run.folded.numbering.places), dtype=np.int64)
    np.minimum.at(start, chosen, patches.location)
    held = np.zeros((len(used), len(run.folded.numbering.node)), dtype=np.bool_)
    level = np.zeros(held.shape[1], dtype=np.float32)
    patches = patches._replace(chosen=chosen)
    return run.execute(sets_of(start, held, level, [], len(run.folded.numbering.places), patches))


def pairs_of(experiment: Experiment, prompts: Sequence[int] | None = None) -> Pairs:
    """The circuit of ``experiment`` on some of its prompts (all), and on their pairs' others.

    Raises ValueError for a prompt that is not there.
    """
    batch = experiment.batch
    chosen = list(range(len(batch)) if prompts is None else prompts)
    wrong = [i for i in chosen if not 0 <= i < len(batch)]
    if wrong or not chosen:
        raise ValueError(
            f"there is no prompt {', '.join(map(str, wrong)) or 'given'}; there are {len(batch)}, "
            f"counted from 0: pair i is prompts i and i + {batch.n_pairs}"
        )
    here = torch.tensor(chosen)
    there = (here + batch.n_pairs) % len(batch)
    right, wrong_answer = batch.right[here], batch.wrong[here]
    this = _cut(TaskBatch(batch.tokens[here], batch.last[here], right, wrong_answer))
    other = _cut(TaskBatch(batch.tokens[there], batch.last[there], right, wrong_answer))
    run, other_run = (experiment.compiled_circuit.on(some, apart=True) for some in (this, other))
    hook = mean_fill(experiment.alive, experiment.means)
    sources = Sources(experiment.model, experiment.means, hook, other, None, other_run)
    return Pairs(experiment.circuit, this, other, run, other_run, sources)


def _cut(batch: TaskBatch) -> TaskBatch:
    """Without padding that no prompt needs."""
    longest = int(batch.last.max()) + 1
    return TaskBatch(batch.tokens[:, :longest], batch.last, batch.right, batch.wrong)


def _padded(batch: TaskBatch, longest: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    more = longest - batch.tokens.shape[1]
    tokens = torch.nn.functional.pad(batch.tokens, (0, more))
    return tokens, batch.last, batch.right, batch.wrong
