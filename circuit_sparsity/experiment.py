"""A circuit on the table: with its model, reference means and prompts, ready to ablate.

``circuit_sparsity.opening.open_circuit`` makes one from the names of a circuit:
``open_circuit("starter", "single_double_quote", "prune", "k44_seed0").ablate([node]).delta``.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuit_sparsity.circuits.ablation import answer_logits
from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.circuits.edges import Edge, edges
from circuit_sparsity.circuits.means import Means
from circuit_sparsity.hooks import Hook, Recorder, no_hook
from circuit_sparsity.model import GPT
from circuit_sparsity.names import Location, Node
from circuit_sparsity.tasks.task import TaskBatch, two_way_loss

Alive = Mapping[Location, Bool[Tensor, " width"]]
Progress = Callable[[int, int], None]  # done, of how many


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
    """What ablating ``nodes`` together does to a circuit."""

    nodes: tuple[Node, ...]
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
    def of_circuit(self) -> Outcome:
        """The circuit on the prompts, everything else at its mean (sufficiency)."""
        return self.run(self.alive)

    @cached_property
    def of_nothing(self) -> Outcome:
        """The empty circuit: every location at its mean."""
        return self.run({place: torch.zeros_like(mask) for place, mask in self.alive.items()})

    @cached_property
    def of_complement(self) -> Outcome:
        """The model with only the circuit ablated (necessity)."""
        return self.run({place: ~mask for place, mask in self.alive.items()})

    def ablate(self, nodes: Iterable[Node | str]) -> Effect:
        """The circuit with ``nodes`` at their means too; ValueError for one it does not keep."""
        named = (Node.parse(node) if isinstance(node, str) else node for node in nodes)
        chosen = self.circuit.require(named)
        smaller = self.circuit.without(chosen).masks(self.model.config)
        return Effect(chosen, self.of_circuit, self.run(smaller))

    def ablate_each(
        self,
        nodes: Iterable[Node],
        progress: Progress = lambda done, of: None,
        cancel: threading.Event | None = None,
    ) -> tuple[Effect, ...]:
        """One effect for each node alone. Raises Cancelled when ``cancel`` is set meanwhile."""
        nodes = self.circuit.require(nodes)
        found = []
        for done, node in enumerate(nodes):
            if cancel is not None and cancel.is_set():
                raise Cancelled(f"stopped after {done} of {len(nodes)} ablations")
            found.append(self.ablate([node]))
            progress(done + 1, len(nodes))
        return tuple(found)

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
