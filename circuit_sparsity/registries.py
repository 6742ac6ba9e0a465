"""What the released code calls its registries: addresses, data points, tasks and their loss."""

import json
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import tiktoken
import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuit_sparsity.inference.addresses import local_file
from circuit_sparsity.store import Store
from circuit_sparsity.store.store import DEFAULT_URL

MODEL_BASE_DIR = DEFAULT_URL  # of the container; MODEL_BASE_DIR + "/models/csp_yolo2" is a model
CACHE_DIR = str(Store.from_environment().folder)  # of what was downloaded or made here

Item = TypeVar("Item")


@dataclass
class Datapoint:
    """A prompt, the prompt it is contrasted with, and the two answers."""

    inputs: Int[Tensor, "1 pos"]
    patch_from_inputs: Int[Tensor, "1 pos"] | None = None
    pretrain_inputs: Int[Tensor, "1 pos"] | None = None
    target_tokid: int | None = None  # right after the contrasted prompt
    target_alt_tokid: int | None = None  # right after this prompt


def last_token_contrast_loss_fn(
    x: Datapoint,
    logits: Sequence[Float[Tensor, "pos vocab"]],
    *,
    tokid: int | None = None,
    two_sided: bool = True,
    alt_tokid: int | None = None,
) -> Float[Tensor, ""]:
    """The loss of a pair, in nats, summed over its two prompts at their last token.

    ``logits`` are those of the contrasted prompt, where ``tokid`` is right, and of the prompt
    itself, where ``alt_tokid`` is, each against the other alone. Without an ``alt_tokid`` the
    second prompt is right with anything but ``tokid``. A data point's own answers go before.
    """
    if not two_sided:
        raise ValueError("two_sided is False; the loss is defined for both prompts of a pair only")
    if (tokid is not None and x.target_tokid is not None) or (
        alt_tokid is not None and x.target_alt_tokid is not None
    ):
        raise ValueError("the data point has answers of its own; leave out tokid and alt_tokid")
    right = x.target_tokid if tokid is None else tokid
    other = x.target_alt_tokid if alt_tokid is None else alt_tokid
    if right is None:
        raise ValueError("neither the data point nor tokid says which token is right")
    contrasted, plain = (one[-1] for one in logits)  # each: vocab
    if other is not None:
        first = contrasted[[right, other]].log_softmax(-1)
        second = plain[[right, other]].log_softmax(-1)
        return -(first[0] + second[1])
    chances = plain.log_softmax(-1)
    others = torch.cat((chances[:right], chances[right + 1 :]))
    return -(contrasted.log_softmax(-1)[right] + others.logsumexp(-1))


@dataclass
class Task:
    """Data points to prune on and to test on (both shuffled by one seed), with loss and tokens."""

    xs: list[Datapoint]
    xs_test: list[Datapoint]
    loss_fn: Callable[..., Tensor]
    enc: tiktoken.Encoding

    def __post_init__(self) -> None:
        order = random.Random(0)
        order.shuffle(self.xs)
        order.shuffle(self.xs_test)

    def limit(self, n: int) -> "Task":
        """The first ``n`` of both."""
        return Task(self.xs[:n], self.xs_test[:n], self.loss_fn, self.enc)

    def left_truncate_to_len(self, n: int = 255) -> "Task":
        """The last ``n`` tokens of each data point; those of the test stay whole."""
        return Task([_last(x, n) for x in self.xs], self.xs_test, self.loss_fn, self.enc)


def _last(x: Datapoint, n: int) -> Datapoint:
    prompts = ("inputs", "patch_from_inputs", "pretrain_inputs")
    there = {name: getattr(x, name) for name in prompts if getattr(x, name) is not None}
    return replace(x, **{name: tokens[:, -n:] for name, tokens in there.items()})


def list_join(xss: Iterable[Iterable[Item]]) -> list[Item]:
    """
    >>> list_join([[1], [2, 3]])
    [1, 2, 3]
    """
    return [x for xs in xss for x in xs]


def keymap(fs: Mapping[str, Callable[[Any], Any]], d: Mapping[str, Any]) -> dict[str, Any]:
    """
    >>> keymap({"a": abs}, {"a": -1, "b": -2})
    {'a': 1, 'b': -2}
    """
    strange = sorted(set(fs) - set(d))
    if strange:
        raise ValueError(f"there is nothing under {', '.join(strange)}; keys are {', '.join(d)}")
    return {key: fs[key](value) if key in fs else value for key, value in d.items()}


def only_one(xs: Sequence[Item]) -> Item:
    """
    >>> only_one(["a"])
    'a'
    """
    if len(xs) != 1:
        raise ValueError(f"there are {len(xs)} items; expected exactly one")
    return xs[0]


def pad_or_clip_to_len(x: Int[Tensor, " pos"], n: int, v: int) -> Int[Tensor, " n"]:
    """The last ``n`` entries of ``x``, filled up on the left with ``v``.

    >>> pad_or_clip_to_len(torch.tensor([5, 6]), 3, 0).tolist()
    [0, 5, 6]
    """
    x = x[max(len(x) - n, 0) :]
    return torch.cat((x.new_full((n - len(x),), v), x))


def lcompose(*fs: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """One function that applies ``fs`` from first to last.

    >>> lcompose(abs, str)(-3)
    '3'
    """

    def composed(x: Any) -> Any:
        for f in fs:
            x = f(x)
        return x

    return composed


def load_jsonls(paths: Iterable[str]) -> list[Any]:
    """The objects in JSON-lines files, by path or address, one after the other."""
    texts = (local_file(path).read_text(encoding="utf-8") for path in paths)
    return [json.loads(line) for text in texts for line in text.splitlines()]
