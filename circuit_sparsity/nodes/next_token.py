"""What a model, or a circuit of it, expects after one prompt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.circuits.means import Means
from circuit_sparsity.core.model import GPT
from circuit_sparsity.core.names import Location
from circuit_sparsity.runtime.ablation import answer_logits
from circuit_sparsity.runtime.compiled import Ablation, Fill
from circuit_sparsity.runtime.compiled.masked_run import full_run


@dataclass(frozen=True, eq=False)
class NextToken:
    """The distribution of the token after a prompt."""

    logits: Float[Tensor, " vocab"]

    @cached_property
    def probabilities(self) -> Float[Tensor, " vocab"]:
        return self.logits.softmax(dim=-1)

    def top(self, n: int) -> tuple[tuple[int, float], ...]:
        """The ``n`` likeliest tokens with their probabilities, likeliest first."""
        best = self.probabilities.topk(min(n, len(self.logits)))
        return tuple(zip(best.indices.tolist(), best.values.tolist(), strict=True))

    def against(self, token: int, other: int) -> float:
        """Probability of ``token`` when only it and ``other`` are allowed."""
        return float((self.logits[token] - self.logits[other]).sigmoid())


@torch.no_grad()
def next_token(
    model: GPT,
    tokens: Sequence[int],
    alive: Mapping[Location, Bool[Tensor, " width"]] | None = None,
    means: Means | None = None,
) -> NextToken:
    """What comes after ``tokens``: by the whole model, or with only ``alive`` running.

    Raises ValueError when there are no tokens or more than the model's context.
    """
    one = _OnePrompt.of(tokens)
    return NextToken(answer_logits(model, one.tokens, one.last, alive=alive, means=means)[0])


def next_token_without(
    circuit: Circuit,
    model: GPT,
    means: Means,
    tokens: Sequence[int],
    ablated: Ablation,
    fill: Fill = "mean",
) -> NextToken:
    """What comes after ``tokens`` by the circuit without some of its nodes and edges.

    Raises ValueError as `next_token` does.
    """
    run = full_run(circuit, model, means, _OnePrompt.of(tokens))
    return NextToken(run.logits_without(ablated, fill)[0])


@dataclass(frozen=True)
class _OnePrompt:
    """A prompt that is asked for all of its next tokens: the two answers are never read."""

    tokens: Int[Tensor, "prompt pos"]
    last: Int[Tensor, " prompt"]
    right: Int[Tensor, " prompt"]
    wrong: Int[Tensor, " prompt"]

    @classmethod
    def of(cls, tokens: Sequence[int]) -> "_OnePrompt":
        if not tokens:
            raise ValueError("the prompt is empty; expected at least one token of text")
        nothing = torch.zeros(1, dtype=torch.long)
        last = torch.tensor([len(tokens) - 1])
        return cls(torch.tensor([list(tokens)]), last, nothing, nothing)
