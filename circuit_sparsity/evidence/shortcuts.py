"""Shortcuts: what a guess from a few tokens gets on a task, without any model.

Small classifiers are fitted on pruning prompts and tested on test prompts. Where one answers a
task, a circuit that does may do no more.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from circuit_sparsity.core.tokenizer import Tokenizer
from circuit_sparsity.tasks.task import Pair, Task, encode, pairs_up_to, task_context

FITTED, TESTED = 512, 128  # pairs
SEED_FITTED, SEED_TESTED = 1, 0  # the latter that of the test prompts of everything else
DECAY = 1e-3  # of the weights of the bag of tokens
Texts = Sequence[Sequence[int]]  # of each prompt, its tokens; positive ones first


@dataclass(frozen=True)
class Shortcuts:
    """Share of test prompts whose kind a guess finds; a coin has 0.5."""

    last: float  # from the last token
    last_two: float
    length: float  # longer or shorter than a threshold
    bag: float  # from which tokens occur, anywhere
    fitted: int  # prompts
    tested: int

    @property
    def best(self) -> float:
        return max(self.last, self.last_two, self.length, self.bag)

    @property
    def words(self) -> str:
        """One line for a reader."""
        return (
            f"a guess from the last token gets {self.last:.0%}, from the last two "
            f"{self.last_two:.0%}, from the length {self.length:.0%}, from the bag of tokens "
            f"{self.bag:.0%} (fitted on {self.fitted} pruning prompts, {self.tested} test prompts)"
        )


def shortcuts(
    task: Task,
    tokenizer: Tokenizer,
    block_size: int,
    step: Callable[[], None] = lambda: None,
) -> Shortcuts:
    """What each guess gets on ``task`` in a model's tokens, cut to its context.

    What is guessed is which of a pair's two prompts a text is, so nothing is asked of tasks whose
    answer is a copy of what stands there. ``step`` is called before fitting and before testing.
    """
    step()
    fitted = _texts(pairs_up_to(task, "prune", FITTED, SEED_FITTED), tokenizer, block_size)
    step()
    tested = _texts(pairs_up_to(task, "test", TESTED, SEED_TESTED), tokenizer, block_size)
    return shortcuts_of(fitted, tested)


def shortcuts_of(fitted: Texts, tested: Texts) -> Shortcuts:
    """The same from tokens: the first half of either are positive prompts."""
    return Shortcuts(
        last=_by_majority([text[-1] for text in fitted], [text[-1] for text in tested]),
        last_two=_by_majority(
            [tuple(text[-2:]) for text in fitted], [tuple(text[-2:]) for text in tested]
        ),
        length=_by_threshold([len(text) for text in fitted], [len(text) for text in tested]),
        bag=_by_bag(fitted, tested),
        fitted=len(fitted),
        tested=len(tested),
    )


def _texts(pairs: Sequence[Pair], tokenizer: Tokenizer, block_size: int) -> list[list[int]]:
    batch = encode(pairs, tokenizer, task_context(block_size))
    rows = zip(batch.tokens, batch.last, strict=True)
    return [[int(token) for token in text[: int(last) + 1]] for text, last in rows]


def _by_majority(fitted: Sequence[Hashable], tested: Sequence[Hashable]) -> float:
    """Of each value seen, the kind that it mostly had; what was not seen is a coin."""
    half, of = len(fitted) // 2, len(tested) // 2
    votes = Counter(fitted[:half])
    votes.subtract(Counter(fitted[half:]))
    scores = [votes[value] if i < of else -votes[value] for i, value in enumerate(tested)]
    return sum(1.0 if score > 0 else 0.5 if score == 0 else 0.0 for score in scores) / len(scores)


def _by_threshold(fitted: Sequence[int], tested: Sequence[int]) -> float:
    """Longer than a threshold, or shorter: whichever fits best."""
    half = len(fitted) // 2

    def share(at: float, positive_longer: bool, lengths: Sequence[int], first: int) -> float:
        right = [
            (length > at) == (positive_longer == (i < first)) for i, length in enumerate(lengths)
        ]
        return sum(right) / len(right)

    choices = [(at - 0.5, longer) for at in sorted(set(fitted)) for longer in (True, False)]
    at, longer = max(choices, key=lambda one: share(*one, fitted, half))
    return share(at, longer, tested, len(tested) // 2)


def _by_bag(fitted: Texts, tested: Texts) -> float:
    """Logistic regression on which tokens occur, a little decayed; 100 steps of L-BFGS."""
    known = sorted({token for text in fitted for token in text})
    column = {token: i for i, token in enumerate(known)}
    x, y = _presence(fitted, column), _kinds(len(fitted))
    weights = torch.zeros(len(known) + 1, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Float[Tensor, ""]:
        optimiser.zero_grad()
        found = F.softplus(-y * (x @ weights)).mean() + DECAY * weights.pow(2).sum()
        found.backward()
        return found

    with torch.enable_grad():
        optimiser.step(loss)
    scores = _kinds(len(tested)) * (_presence(tested, column) @ weights.detach())
    return float(((scores > 0).double() + 0.5 * (scores == 0).double()).mean())


def _presence(texts: Texts, column: dict[int, int]) -> Float[Tensor, "text feature"]:
    found = torch.zeros(len(texts), len(column) + 1, dtype=torch.float64)
    found[:, -1] = 1.0  # the bias
    for row, text in enumerate(texts):
        found[row, [column[token] for token in set(text) if token in column]] = 1.0
    return found


def _kinds(texts: int) -> Float[Tensor, " text"]:
    """1 for the positive half, -1 for the other."""
    kinds = torch.ones(texts, dtype=torch.float64)
    kinds[texts // 2 :] = -1.0
    return kinds
