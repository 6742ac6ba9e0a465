"""Input attribution: what each token of a prompt does to its answer, in the model and the circuit.

The yardstick is exact: the token replaced by its counterpart in the pair's other prompt. Beside it
stand four of the field's methods, all over the embeddings, with the mean embedding of the
vocabulary as their baseline:

- occlusion: the token's embedding at the baseline;
- gradient: the embedding less the baseline, times the gradient of the log odds;
- integrated: the same with the gradient averaged on the way from the baseline
  (Sundararajan et al. 2017, arXiv 1703.01365);
- shapley: occlusion averaged over random orders in which tokens appear
  (Castro et al. 2009, by sampling).

All are nats of log odds of the right answer against the wrong one; above 0 a token speaks for the
right answer. Positions stay, and so does the bigram table's row of the last token: both are no
embedding.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuit_sparsity.core.hooks import Hook, chain, no_hook, with_names
from circuit_sparsity.core.model import GPT
from circuit_sparsity.experiment.experiment import Experiment
from circuit_sparsity.experiment.sources import token_rows
from circuit_sparsity.patching.pairs import Pairs, pairs_of
from circuit_sparsity.runtime.ablation import answer_logits, mean_fill

Method = Literal["replacement", "occlusion", "gradient", "integrated", "shapley"]
METHODS: tuple[Method, ...] = get_args(Method)
STEPS = 32  # of the path of integrated gradients
ORDERS = 16  # random orders of Shapley values
SEED = 0
_AT_ONCE = 64  # prompts in one pass
_EMBEDDED = "0.resid_in"


@dataclass(frozen=True, eq=False)
class InputAttribution:
    """By method, nats of log odds for each token: of the whole model or of the circuit."""

    tokens: tuple[int, ...]
    log_odds: float  # of the prompt as it is
    values: Mapping[Method, Float[Tensor, " pos"]]


def attribute_inputs(
    experiment: Experiment,
    prompt: int = 0,
    whole_model: bool = False,
    methods: tuple[Method, ...] = METHODS,
    seed: int = SEED,
) -> InputAttribution:
    """What each token of one prompt does to its answer, by each of ``methods``.

    A token that has no counterpart, or the same one, has a replacement of 0. Raises ValueError
    for a prompt that is not there and for an unknown method.
    """
    strange = [name for name in methods if name not in METHODS]
    if strange:
        raise ValueError(
            f"there is no attribution by {strange[0]!r}; expected one of {', '.join(METHODS)}"
        )
    pairs = pairs_of(experiment, [prompt])
    hook = no_hook if whole_model else mean_fill(experiment.alive, experiment.means)
    answer = _Answer(experiment.model, hook, pairs)
    how: Mapping[Method, Callable[[], Float[Tensor, " pos"]]] = {
        "replacement": answer.replaced,
        "occlusion": answer.occluded,
        "gradient": lambda: answer.along_the_path(1),
        "integrated": lambda: answer.along_the_path(STEPS),
        "shapley": lambda: answer.shapley(ORDERS, seed),
    }
    values: dict[Method, Float[Tensor, " pos"]] = {name: how[name]() for name in methods}
    (tokens,) = token_rows(pairs.batch)
    return InputAttribution(tuple(tokens), float(answer.whole), values)


class _Answer:
    """The log odds of one prompt's answer as a function of its embeddings."""

    def __init__(self, model: GPT, hook: Hook, pairs: Pairs) -> None:
        self.model, self.hook, self.pairs = model, hook, pairs
        self.tokens: Int[Tensor, "one pos"] = pairs.batch.tokens
        table = model.transformer.wte.weight.detach().float()
        added = torch.zeros(self.tokens.shape[1], table.shape[1], device=table.device)
        if not model.config.d_pos_emb:
            added = model.transformer.wpe.weight.detach()[: len(added)].float()
        self.embedded = model.transformer.wte(self.tokens)[0].detach().float() + added
        self.baseline = table.mean(0) + added  # pos d_model
        self.whole = self.log_odds(self.embedded[None])[0]

    @torch.no_grad()
    def log_odds(self, embedded: Float[Tensor, "row pos d_model"]) -> Float[Tensor, " row"]:
        """Of each row of embeddings in the prompt's place."""
        return torch.cat([self._run(self.tokens, some) for some in embedded.split(_AT_ONCE)])

    def _run(
        self, tokens: Int[Tensor, "_ pos"], embedded: Float[Tensor, "row pos d_model"] | None
    ) -> Float[Tensor, " row"]:
        hook = self.hook
        if embedded is not None:
            tokens, hook = tokens.expand(len(embedded), -1), chain(_given(embedded), hook)
        last = self.pairs.batch.last.expand(len(tokens))
        logits = answer_logits(self.model, tokens, last, hook)
        right, wrong = self.pairs.batch.right[0], self.pairs.batch.wrong[0]
        return logits[:, right] - logits[:, wrong]

    @torch.no_grad()
    def replaced(self) -> Float[Tensor, " pos"]:
        """The fall when each token is its counterpart."""
        places, other = self.pairs.places[0], self.pairs.other.tokens[0]
        found = torch.zeros(self.tokens.shape[1])
        counterpart = other[places.clamp(min=0)]
        changed = ((places >= 0) & (counterpart != self.tokens[0])).nonzero().flatten()
        if len(changed):
            rows = self.tokens.expand(len(changed), -1).clone()
            rows[torch.arange(len(changed)), changed] = counterpart[changed]
            found[changed] = self.whole - self._run(rows, None)
        return found

    def occluded(self) -> Float[Tensor, " pos"]:
        """The fall when each token's embedding is the baseline."""
        return self.whole - self._without(torch.eye(len(self.embedded), dtype=torch.bool))

    def _without(self, gone: Bool[Tensor, "row pos"]) -> Float[Tensor, " row"]:
        found = [
            self.log_odds(torch.where(some[..., None], self.baseline, self.embedded))
            for some in gone.split(_AT_ONCE)
        ]
        return torch.cat(found)

    def along_the_path(self, steps: int) -> Float[Tensor, " pos"]:
        """Gradients at the middles of ``steps`` parts of the way, or at its end for one step."""
        way = self.embedded - self.baseline
        at = (torch.arange(steps) + 0.5) / steps if steps > 1 else torch.ones(1)
        given = (self.baseline + at[:, None, None] * way).requires_grad_()
        with torch.enable_grad():
            total = self._run(self.tokens, given).sum()
            (slope,) = torch.autograd.grad(total, given)
        return (slope.mean(0) * way).sum(1)

    def shapley(self, orders: int, seed: int) -> Float[Tensor, " pos"]:
        """Mean rise as each token appears, over random orders, all others at the baseline."""
        count, generator = len(self.embedded), torch.Generator().manual_seed(seed)
        found = torch.zeros(count)
        for _ in range(orders):
            order = torch.randperm(count, generator=generator)
            gone = torch.ones(count + 1, count, dtype=torch.bool)
            for i, token in enumerate(order.tolist(), start=1):
                gone[i:, token] = False
            found[order] += self._without(gone).diff()
        return found / orders


def _given(embedded: Tensor) -> Hook:
    """A hook that puts these embeddings in the place of the prompt's own."""
    return with_names(lambda name, x: embedded.to(x) if name == _EMBEDDED else x, {_EMBEDDED})
