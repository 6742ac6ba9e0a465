"""What a task is: pairs of prompts that ask a two-way question about the next token.

Of a pair, the two prompts differ in as little as possible and what is right for one is wrong for
the other, so that a guess which does not look at the difference is right half of the time.
"""

import math
import warnings
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal, Protocol, TypeVar, get_args, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from circuit_sparsity.core.tokenizer import Tokenizer

Split = Literal["prune", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
Templates = Literal["all", "familiar", "novel"]

# The context a task's prompt may have, answer not counted, in the paper's runs.
MAX_CONTEXT = 255
PADDING = 0
CHANCE_LOSS = math.log(2)
# Random pairs repeat now and then; this many times as many attempts as pairs end only when there
# are next to no new ones.
ATTEMPTS = 50

Made = TypeVar("Made", bound=Hashable)


@dataclass(frozen=True)
class Prompt:
    """A beginning of a program and two ways in which it might go on."""

    text: str
    right: str
    wrong: str


@dataclass(frozen=True)
class Pair:
    """Two prompts that differ only in what decides the answer."""

    positive: Prompt
    negative: Prompt


@runtime_checkable
class Task(Protocol):
    """A source of pairs; the same arguments give the same pairs."""

    @property
    def name(self) -> str: ...

    @property
    def summary(self) -> str: ...

    def pairs(self, split: str, n: int, seed: int = 0, templates: str = "all") -> tuple[Pair, ...]:
        """`n` different pairs of one split: `prune`, `validation` or `test`.

        Raises ValueError for an unknown split, TooFewPairs when there are fewer.
        """
        ...


@dataclass(frozen=True)
class TaskBatch:
    """Prompts as tokens, padded on the right; the positive ones first, then their counterparts.

    `last` is the index of each prompt's last real token, at which the answer is read; `right` and
    `wrong` are the two answer tokens.
    """

    tokens: Int[Tensor, "prompt pos"]
    last: Int[Tensor, " prompt"]
    right: Int[Tensor, " prompt"]
    wrong: Int[Tensor, " prompt"]

    def __len__(self) -> int:
        return self.tokens.shape[0]

    @property
    def n_pairs(self) -> int:
        return len(self) // 2

    def to(self, device: torch.device | str) -> "TaskBatch":
        return TaskBatch(*(x.to(device) for x in (self.tokens, self.last, self.right, self.wrong)))

    def at_last(self, values: Float[Tensor, "prompt pos d"]) -> Float[Tensor, "prompt d"]:
        """The rows of `values` (logits, activations) at each prompt's last real token."""
        return values[torch.arange(len(self), device=values.device), self.last]

    def select(self, pairs: Sequence[int]) -> "TaskBatch":
        """The batch of the pairs with these indices, in this order."""
        index = torch.tensor(pairs, device=self.tokens.device, dtype=torch.long)
        rows = torch.cat([index, index + self.n_pairs])
        return TaskBatch(self.tokens[rows], self.last[rows], self.right[rows], self.wrong[rows])


class PromptsCut(UserWarning):
    """Prompts were longer than the model's context, and lost their beginning."""


class TooFewPairs(ValueError):
    """A split of a task has not as many different pairs as were asked for."""

    def __init__(self, task: str, split: str, asked: int, available: int) -> None:
        super().__init__(
            f"Task {task} gives {available} different pairs in split {split}; {asked} were asked "
            "for. Ask for fewer."
        )
        self.available = available


def pairs_up_to(task: Task, split: str, n: int, seed: int = 0) -> tuple[Pair, ...]:
    """`n` pairs of a task, or as many as it has in that split."""
    try:
        return task.pairs(split, n, seed)
    except TooFewPairs as error:
        return task.pairs(split, error.available, seed)


def check_split(split: str) -> None:
    """Raise ValueError when there is no such split."""
    if split not in SPLITS:
        raise ValueError(f"Got split {split!r}; expected one of {', '.join(SPLITS)}.")


def distinct(make: Callable[[], Made], n: int) -> list[Made]:
    """`n` different things in the order in which `make` first makes them.

    There are fewer when `make` repeats itself too often.
    """
    made: dict[Made, None] = {}
    for _ in range(ATTEMPTS * (n + 1)):
        if len(made) >= n:
            break
        made[make()] = None
    return list(made)


def task_context(block_size: int) -> int:
    """How many tokens a prompt may have in a model whose context is `block_size` tokens."""
    return min(MAX_CONTEXT, block_size - 1)


def encode(
    pairs: Sequence[Pair], tokenizer: Tokenizer, max_tokens: int, cut: bool = True
) -> TaskBatch:
    """The tokens of `pairs`, with the answers under this tokenizer.

    Prompt and continuation are tokenised together. The answers are the first tokens in which the
    two continuations of a prompt differ; tokens that both begin with belong to the prompt. A
    prompt longer than `max_tokens` (`task_context` of the model) loses its beginning, and the
    warning PromptsCut says how many did and what was cut, or it is an error when `cut` is false.

    Raises ValueError when there are no pairs, when a continuation changes the prompt's own
    tokens, when one continuation is the beginning of the other, when a prompt is too long and not
    to be cut, and when the cut takes away what a pair differs in.
    """
    if not pairs:
        raise ValueError("Got no pairs to encode; expected at least one.")
    if max_tokens < 1:
        raise ValueError(f"A context of {max_tokens} tokens holds no prompt; expected at least 1.")
    prompts = [p.positive for p in pairs] + [p.negative for p in pairs]
    encoded = [_encode_prompt(prompt, tokenizer) for prompt in prompts]
    kept = [
        _fit(prompt.text, e.tokens, max_tokens, cut)
        for prompt, e in zip(prompts, encoded, strict=True)
    ]
    for i, pair in enumerate(pairs):
        if kept[i] == kept[i + len(pairs)]:
            raise ValueError(_same_message(pair, max_tokens))
    if told := _cut_message(prompts, encoded, tokenizer, max_tokens):
        warnings.warn(told, PromptsCut, stacklevel=2)
    return TaskBatch(
        tokens=_padded(kept),
        last=torch.tensor([len(tokens) - 1 for tokens in kept]),
        right=torch.tensor([e.right for e in encoded]),
        wrong=torch.tensor([e.wrong for e in encoded]),
    )


def prompts_cut(pairs: Sequence[Pair], tokenizer: Tokenizer, max_tokens: int) -> str | None:
    """What `encode` would say of prompts longer than `max_tokens`; None when there are none."""
    prompts = [p.positive for p in pairs] + [p.negative for p in pairs]
    encoded = [_encode_prompt(prompt, tokenizer) for prompt in prompts]
    return _cut_message(prompts, encoded, tokenizer, max_tokens)


def _cut_message(
    prompts: Sequence[Prompt], encoded: "Sequence[_Encoded]", tokenizer: Tokenizer, max_tokens: int
) -> str | None:
    cut = [
        (len(e.tokens) - max_tokens, prompt, e.tokens)
        for prompt, e in zip(prompts, encoded, strict=True)
        if len(e.tokens) > max_tokens
    ]
    if not cut:
        return None
    most, prompt, tokens = max(cut, key=lambda one: one[0])
    lost = tokenizer.decode(list(tokens[:most]))
    return (
        f"{len(cut)} of {len(prompts)} prompts have more than the {max_tokens} tokens that the "
        f"model reads before an answer, and lose their beginning: up to {most} tokens, as in "
        f"{_shortened(prompt.text)!r}, of which {_shortened(lost)!r} is cut"
    )


def two_way_loss(
    logits: Float[Tensor, "prompt vocab"],
    right: Int[Tensor, " prompt"],
    wrong: Int[Tensor, " prompt"],
) -> Float[Tensor, " prompt"]:
    """Cross-entropy over just the two answer tokens, in nats per sequence; ln 2 is chance."""
    return F.softplus(-answer_margin(logits, right, wrong))


def two_way_accuracy(
    logits: Float[Tensor, "prompt vocab"],
    right: Int[Tensor, " prompt"],
    wrong: Int[Tensor, " prompt"],
) -> float:
    """The share of prompts on which the right answer has the larger logit; a tie counts half."""
    margin = answer_margin(logits, right, wrong)
    return ((margin > 0).float() + 0.5 * (margin == 0).float()).mean().item()


def answer_margin(
    logits: Float[Tensor, "prompt vocab"],
    right: Int[Tensor, " prompt"],
    wrong: Int[Tensor, " prompt"],
) -> Float[Tensor, " prompt"]:
    """Logit of the right answer less that of the wrong one."""
    rows = torch.arange(logits.shape[0], device=logits.device)
    return logits[rows, right] - logits[rows, wrong]


@dataclass(frozen=True)
class _Encoded:
    tokens: tuple[int, ...]
    right: int
    wrong: int


def _encode_prompt(prompt: Prompt, tokenizer: Tokenizer) -> _Encoded:
    """The prompt's tokens, those shared by both continuations included, and the two answers."""
    own = tokenizer.encode(prompt.text)
    right = tokenizer.encode(prompt.text + prompt.right)
    wrong = tokenizer.encode(prompt.text + prompt.wrong)
    for continuation, joint in ((prompt.right, right), (prompt.wrong, wrong)):
        if not own or joint[: len(own)] != own:
            raise ValueError(_boundary_message(prompt, continuation, own, joint, tokenizer))
    shared = next((i for i, (r, w) in enumerate(zip(right, wrong, strict=False)) if r != w), None)
    if shared is None:
        raise ValueError(
            f"Prompt {prompt.text!r}: of the continuations {prompt.right!r} and {prompt.wrong!r} "
            "one is the beginning of the other in this tokenizer's tokens; expected two that "
            "differ in a token. Add to both what follows them, for example a newline."
        )
    return _Encoded(tuple(right[:shared]), right[shared], wrong[shared])


def _boundary_message(
    prompt: Prompt, continuation: str, own: list[int], joint: list[int], tokenizer: Tokenizer
) -> str:
    if not own:
        return f"Got an empty prompt before {continuation!r}; expected at least one token of text."
    expected = [tokenizer.decode([t]) for t in own]
    got = [tokenizer.decode([t]) for t in joint]
    first = next(
        (i for i, (a, b) in enumerate(zip(expected, got, strict=False)) if a != b), len(got)
    )
    return (
        f"Prompt {prompt.text!r}: with the continuation {continuation!r} its tokens change: "
        f"received {got[first:]} where the prompt alone gives {expected[first:]}; expected the "
        "prompt's tokens to be the beginning. Move the cut to where this tokenizer starts a token."
    )


def _fit(text: str, tokens: tuple[int, ...], max_tokens: int, cut: bool) -> tuple[int, ...]:
    if len(tokens) > max_tokens and not cut:
        raise ValueError(
            f"Prompt {_shortened(text)!r} has {len(tokens)} tokens; expected at most {max_tokens}, "
            "the model's context less one. Shorten it, or cut its beginning away (cut=True)."
        )
    return tokens[-max_tokens:]


def _same_message(pair: Pair, max_tokens: int) -> str:
    return (
        f"The pair {_shortened(pair.positive.text)!r} and {_shortened(pair.negative.text)!r} is "
        f"the same in its last {max_tokens} tokens; expected prompts that differ there. Shorten "
        "what comes after the difference, or use a model with a longer context."
    )


def _shortened(text: str, limit: int = 80) -> str:
    return text if len(text) <= limit else f"{text[: limit // 2]} ... {text[-limit // 2 :]}"


def _padded(rows: Iterable[Sequence[int]]) -> Int[Tensor, "prompt pos"]:
    tensors = [torch.tensor(row, dtype=torch.long) for row in rows]
    return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=PADDING)


def differing(
    one: Sequence[Hashable], other: Sequence[Hashable]
) -> tuple[frozenset[int], frozenset[int]]:
    """The places in each of two sequences that have no counterpart in the other.

    >>> differing(["with", " open"], ["f", " =", " open"])
    (frozenset({0}), frozenset({0, 1}))
    """
    matcher = SequenceMatcher(None, one, other, autojunk=False)
    changes = [change for change in matcher.get_opcodes() if change[0] != "equal"]
    first = frozenset(i for _, start, end, _, _ in changes for i in range(start, end))
    second = frozenset(i for _, _, _, start, end in changes for i in range(start, end))
    return first, second


def marked(parts: Sequence[str], places: frozenset[int]) -> str:
    """The parts as one text, runs of those at `places` between « and ».

    >>> marked(["if", " x", " =", "= 3"], frozenset({0, 3}))
    '«if» x =«= 3»'
    """
    out = ""
    for i, part in enumerate(parts):
        opens, closes = i - 1 not in places, i + 1 not in places
        out += f"{'«' * opens}{part}{'»' * closes}" if i in places else part
    return out
