"""A circuit on the table: with its model, reference means and prompts, ready to ablate.

``circuit_sparsity.experiment.opening.open_circuit`` makes one from the names of a circuit:
``open_circuit("starter", "single_double_quote", "prune", "k44_seed0").ablate([node]).delta``.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.circuits.edges import Edge, edges
from circuit_sparsity.circuits.means import Means
from circuit_sparsity.circuits.recipe import Level, Recipe
from circuit_sparsity.core.hooks import Hook, Recorder, no_hook
from circuit_sparsity.core.model import GPT
from circuit_sparsity.core.names import Location, Node
from circuit_sparsity.core.tokenizer import Tokenizer
from circuit_sparsity.experiment.importance import first_order
from circuit_sparsity.experiment.sources import Sources, interventions
from circuit_sparsity.runtime.ablation import answer_logits, mean_fill
from circuit_sparsity.runtime.compiled import CircuitRun, CompiledCircuit, Fill, compile_circuit
from circuit_sparsity.runtime.compiled.masked_run import full_run
from circuit_sparsity.runtime.interventions import (
    Change,
    Intervention,
    Patch,
    margins_changed,
    part_of,
)
from circuit_sparsity.tasks.task import TaskBatch, two_way_loss

Alive = Mapping[Location, Bool[Tensor, " width"]]
Progress = Callable[[int, int], None]  # done, of how many
Part = Node | Edge
Some = TypeVar("Some")
_AT_ONCE = 64  # ablations between two looks at progress and cancel
TOO_CLOSE = 0.01  # nats; below it, model and empty circuit leave faithfulness undefined


class Cancelled(Exception):
    """Somebody asked a long computation to stop."""


@dataclass(frozen=True)
class Outcome:
    """How a run answers a set of prompts."""

    losses: Float[Tensor, " prompt"]  # two-way cross-entropy of each prompt, in nats

    @property
    def loss(self) -> float:
        """Mean task loss in nats per sequence; ln 2 = 0.693 is chance."""
        return float(self.losses.mean())

    @property
    def p_right(self) -> float:
        """Mean probability of the right answer against the wrong one."""
        return float((-self.losses).exp().mean())

    @property
    def accuracy(self) -> float:
        """Share of prompts whose right answer is the likelier of the two."""
        return float((self.losses < torch.log(torch.tensor(2.0))).float().mean())


@dataclass(frozen=True)
class Effect:
    """What a change to a circuit does: ``parts`` changed together, or one node added."""

    parts: tuple[Part, ...]
    before: Outcome
    after: Outcome

    @property
    def delta(self) -> float:
        """Rise of the mean task loss, in nats per sequence."""
        return self.after.loss - self.before.loss


@dataclass(frozen=True, eq=False)
class Experiment:
    """A circuit with everything that running it takes. Frozen: safe to share between threads."""

    circuit: Circuit
    model: GPT
    means: Means
    batch: TaskBatch
    batch_name: str = "test split"  # what the prompts are, in words
    tokenizer: Tokenizer | None = None  # for positions and prompts that are named by their text

    @cached_property
    def alive(self) -> Alive:
        return self.circuit.masks(self.model.config)

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        return edges(self.circuit, self.model)

    @cached_property
    def of_model(self) -> Outcome:
        """The whole model on the prompts."""
        return self.run(None)

    @cached_property
    def compiled(self) -> CircuitRun:
        """The circuit on the prompts at the cost of what it keeps; equal to the masked model."""
        return self.compiled_circuit.on(self.batch)

    @cached_property
    def compiled_circuit(self) -> CompiledCircuit:
        """The circuit folded with its model and means, bound to no prompts yet."""
        return compile_circuit(self.circuit, self.model, self.means)

    @cached_property
    def by_token(self) -> CircuitRun:
        """The same with each prompt's tokens apart: for changes at single tokens."""
        return self.compiled_circuit.on(self.batch, apart=True)

    @cached_property
    def in_full(self) -> CircuitRun:
        """The same as the masked model computes it: for edges changed at single tokens."""
        return full_run(self.circuit, self.model, self.means, self.batch)

    @cached_property
    def of_circuit(self) -> Outcome:
        """The circuit on the prompts, everything else at its mean (sufficiency)."""
        return Outcome(self.compiled.losses())

    @cached_property
    def of_nothing(self) -> Outcome:
        """The empty circuit: every location at its mean."""
        return self.run({place: torch.zeros_like(mask) for place, mask in self.alive.items()})

    @cached_property
    def of_complement(self) -> Outcome:
        """The model with only the circuit ablated (necessity)."""
        return self.run({place: ~mask for place, mask in self.alive.items()})

    def part(self, text: str) -> Part:
        """The kept node, or the edge between two of them, that ``text`` names.

        Nodes are written ``1.mlp.post_act:180``, edges ``source>target``. Raises ValueError for
        what the circuit does not have.
        """
        source, arrow, target = (piece.strip() for piece in text.partition(">"))
        if not arrow:
            return self.circuit.require([Node.parse(text)])[0]
        ends = self.circuit.require([Node.parse(source), Node.parse(target)])
        for edge in self.edges:
            if (edge.source, edge.target) == ends:
                return edge
        raise ValueError(
            f"no weight leads from {source} to {target} in {self.circuit.title}; expected one of "
            f"its {len(self.edges)} edges, such as {next(map(str, self.edges), 'none')}"
        )

    def ablate(self, parts: Iterable[Part | str], fill: Fill = "mean") -> Effect:
        """The circuit without nodes and edges, ablated together.

        A node is held at its reference mean at every position, or at zero; an edge's target sees
        its source at that. A part named twice goes once. Raises ValueError for a part that the
        circuit does not have.
        """
        named = (self.part(part) if isinstance(part, str) else part for part in parts)
        return self._effect([(part, Level(fill)) for part in dict.fromkeys(named)])

    def apply(self, recipe: Recipe) -> Effect:
        """The circuit with every part that ``recipe`` names at the level that it names.

        ``ablate`` is the recipe that holds each at its mean, or at zero. Raises ValueError for a
        part that the circuit does not have, and as ``interventions`` says.

        >>> from circuit_sparsity.experiment.opening import open_circuit
        >>> circuit = open_circuit("starter", "single_double_quote", "prune", "k44_seed0")
        >>> round(circuit.apply(Recipe.parse(["0.attn.k:210*0.5", "0.attn.q:210=1.5"])).delta, 2)
        0.5
        """
        return self._effect(self.interventions(recipe))

    def changes(self, recipe: Recipe) -> list[Change]:
        """Each part that ``recipe`` names, and its level, as they hold on any text.

        ValueError for a part that is not here, and for a step that only these prompts have.
        """
        for step in recipe:
            if not step.is_constant:
                raise ValueError(
                    f"{step} changes tokens of the circuit's own prompts; on any text only steps "
                    "at every token and with a mean, zero, a value or a factor are carried out"
                )
        return [(self.part(step.name), step.level) for step in recipe]

    def interventions(self, recipe: Recipe, whole_model: bool = False) -> list[Intervention]:
        """What each step does on the prompts; values of other prompts are the circuit's.

        With ``whole_model`` they are those of the whole model. Raises ValueError for a part that
        is not here, a position outside a prompt, and prompts that cannot be aligned.
        """
        sources = self.sources_in_model if whole_model else self.sources
        return interventions([(self.part(step.name), step) for step in recipe], sources)

    @cached_property
    def sources(self) -> Sources:
        """What the circuit's nodes are on the prompts, and on others."""
        hook, batch = mean_fill(self.alive, self.means), self.batch
        return Sources(self.model, self.means, hook, batch, self.tokenizer, self.by_token)

    @cached_property
    def sources_in_model(self) -> Sources:
        """What nodes of the whole model are on the prompts, and on others."""
        return Sources(self.model, self.means, no_hook, self.batch, self.tokenizer)

    def outcomes(self, sets: Sequence[Sequence[Intervention]]) -> list[Outcome]:
        """The circuit with each set of changes; a part has one level in all of them.

        Patched nodes run compiled; where edges are patched, the masked model runs (exact, and
        about a hundred times slower), since attention mixes a value's tokens.
        """
        patched = [part_of(c) for changes in sets for c in changes if isinstance(c, Patch)]
        run = self.by_token if patched else self.compiled
        if any(isinstance(part, Edge) for part in patched):
            run = self.in_full
        return [Outcome(F.softplus(-margins)) for margins in margins_changed(run, sets)]

    def _effect(self, changes: Sequence[Intervention]) -> Effect:
        (after,) = self.outcomes([changes])
        return Effect(tuple(map(part_of, changes)), self.of_circuit, after)

    def ablate_each(
        self,
        parts: Iterable[Part],
        progress: Progress = lambda done, of: None,
        cancel: threading.Event | None = None,
        fill: Fill = "mean",
    ) -> tuple[Effect, ...]:
        """One effect for each part alone. Raises Cancelled when ``cancel`` is set meanwhile."""
        parts, found = tuple(parts), list[Effect]()
        for some in _portions(parts, progress, cancel):
            after = self.compiled.losses_without([[part] for part in some], fill)
            pairs = zip(some, after, strict=True)
            found += [Effect((part,), self.of_circuit, Outcome(losses)) for part, losses in pairs]
        return tuple(found)

    def add_each(
        self,
        nodes: Iterable[Node],
        progress: Progress = lambda done, of: None,
        cancel: threading.Event | None = None,
    ) -> tuple[Effect, ...]:
        """One effect for each node outside the circuit that is let run as well, alone."""
        nodes, found = tuple(nodes), list[Effect]()
        for some in _portions(nodes, progress, cancel):
            larger = self.circuit.with_nodes(some)
            run = compile_circuit(larger, self.model, self.means).on(self.batch)
            new = [node for node in some if not self.circuit.keeps(node)]
            after = run.losses_without([[other for other in new if other != n] for n in some])
            pairs = zip(some, after, strict=True)
            found += [Effect((node,), self.of_circuit, Outcome(losses)) for node, losses in pairs]
        return tuple(found)

    @cached_property
    def importance(self) -> Mapping[Location, Float[Tensor, " width"]]:
        """To first order, what ablating each kept node and adding each other does to the loss."""
        return first_order(self.model, self.alive, self.means, self.batch)

    def run(self, alive: Alive | None, hook: Hook = no_hook) -> Outcome:
        """Answer the prompts with only ``alive`` running (None: the whole model)."""
        logits = self.logits(alive, hook)
        return Outcome(two_way_loss(logits, self.batch.right, self.batch.wrong))

    @torch.no_grad()
    def logits(self, alive: Alive | None, hook: Hook = no_hook) -> Float[Tensor, "prompt vocab"]:
        """Next-token logits at each prompt's last token."""
        tokens, last = self.batch.tokens, self.batch.last
        return answer_logits(self.model, tokens, last, hook, alive, self.means)

    def activations(self, alive: Alive | None = None) -> dict[str, Float[Tensor, "prompt pos d"]]:
        """Every hooked tensor of a run over the prompts."""
        recorder = Recorder()
        self.run(alive, recorder)
        return recorder.tensors


def faithfulness(loss: float, model: float, empty: float) -> float | None:
    """(m(C) - m(nothing)) / (m(M) - m(nothing)), m a mean loss; None when that is undefined.

    >>> faithfulness(0.25, model=0.1, empty=0.7)
    0.75
    """
    if abs(model - empty) < TOO_CLOSE:
        return None
    return round((loss - empty) / (model - empty), 12)


def _portions(
    parts: tuple[Some, ...], progress: Progress, cancel: threading.Event | None
) -> Iterator[tuple[Some, ...]]:
    """A few at a time; progress is told after each portion."""
    for done in range(0, len(parts), _AT_ONCE):
        if cancel is not None and cancel.is_set():
            raise Cancelled(f"stopped after {done} of {len(parts)} runs")
        yield parts[done : done + _AT_ONCE]
        progress(min(done + _AT_ONCE, len(parts)), len(parts))
