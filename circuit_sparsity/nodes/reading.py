"""A text as a model, a circuit or an ablated circuit reads it, and where two of them part."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.circuits.means import Means
from circuit_sparsity.core.hooks import Hook, chain, no_hook
from circuit_sparsity.core.model import GPT
from circuit_sparsity.core.names import Node
from circuit_sparsity.runtime.ablation import mean_fill
from circuit_sparsity.runtime.interventions import Change, hook_changed


@dataclass(frozen=True, eq=False)
class Reader:
    """What reads: the model with a hook on it, made anew for each pass."""

    model: GPT
    circuit: Circuit | None = None  # None: the whole model
    means: Means | None = None
    changes: Sequence[Change] = ()  # parts of the circuit, and what each is held at

    @property
    def hook(self) -> Hook:
        if self.circuit is None:
            return no_hook
        assert self.means is not None, "a circuit without reference means"
        if self.changes:
            return hook_changed(self.circuit, self.model, self.means, self.changes)
        return mean_fill(self.circuit.masks(self.model.config), self.means)

    @torch.no_grad()
    def read(self, tokens: Sequence[int], nodes: Iterable[Node] = ()) -> "Reading":
        """Every next-token distribution of a text, and the activations of ``nodes`` on the way.

        Raises ValueError for no tokens and for more than the model's context.
        """
        if not tokens:
            raise ValueError("the text is empty; expected at least one token")
        batch, seen = torch.tensor([list(tokens)]), {}
        wanted: dict[str, list[Node]] = defaultdict(list)
        for node in nodes:
            wanted[str(node.location)].append(node)

        def take(name: str, x: Tensor) -> Tensor:
            seen.update({node: x[0, :, node.channel].clone() for node in wanted.get(name, ())})
            return x

        residual, _ = self.model.residual(batch, chain(self.hook, take))
        return Reading(tuple(tokens), self.model.unembed(residual, batch)[0], seen)

    @torch.no_grad()
    def next(self, tokens: Sequence[int]) -> Float[Tensor, " vocab"]:
        """The logits of the token after ``tokens``."""
        batch = torch.tensor([list(tokens)])
        residual, _ = self.model.residual(batch, self.hook)
        return self.model.unembed(residual[:, -1], batch[:, -1])[0]


@dataclass(frozen=True, eq=False)
class Reading:
    """One text as one reader reads it."""

    tokens: tuple[int, ...]
    logits: Float[Tensor, "pos vocab"]  # of the token after each position
    activations: Mapping[Node, Float[Tensor, " pos"]]  # of the nodes that were asked for

    @cached_property
    def losses(self) -> Float[Tensor, " predicted"]:
        """Cross-entropy of each token but the first, given those before it, in nats per token."""
        following = torch.tensor(self.tokens[1:], dtype=torch.long)
        return F.cross_entropy(self.logits[:-1], following, reduction="none")


@dataclass(frozen=True)
class Parting:
    """Where two readings of one text part. Positions count from 0."""

    first: int | None  # where their likeliest next tokens first differ
    widest: int  # where the divergence is largest
    divergence: float  # KL there, in nats
    mean: float  # KL over all positions, in nats


def divergences(one: Reading, other: Reading) -> Float[Tensor, " pos"]:
    """KL(one ‖ other) of the next token at each position, in nats."""
    logs, others = one.logits.log_softmax(-1), other.logits.log_softmax(-1)
    return F.kl_div(others, logs, reduction="none", log_target=True).sum(-1).clamp(min=0)


def parting(one: Reading, other: Reading) -> Parting:
    """Where ``other`` leaves ``one``; ValueError when they read different texts."""
    if one.tokens != other.tokens:
        raise ValueError("two readings of different texts cannot be compared token by token")
    differ = (one.logits.argmax(-1) != other.logits.argmax(-1)).nonzero().flatten().tolist()
    kl = divergences(one, other)
    widest = int(kl.argmax())
    return Parting(differ[0] if differ else None, widest, float(kl[widest]), float(kl.mean()))
