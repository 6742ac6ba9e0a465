"""How well a model answers a task: accuracy and loss, measured here or read off its card."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from circuit_sparsity.core.model import GPT
from circuit_sparsity.core.tokenizer import Tokenizer
from circuit_sparsity.runtime.ablation import answer_logits
from circuit_sparsity.store import Store
from circuit_sparsity.tasks.task import (
    Pair,
    Task,
    TooFewPairs,
    encode,
    task_context,
    two_way_accuracy,
    two_way_loss,
)
from circuit_sparsity.tasks.template import TemplateTask

CARD = "card.json"  # in a trained model's folder
PAIRS = 200
KINDS = ("familiar", "novel")  # structures that generated training programs have, and have not


@dataclass(frozen=True)
class Score:
    """Of a model on the test prompts of a task: chance is 0.5 and 0.693 nats."""

    accuracy: float  # share of prompts whose right answer has the larger logit; a tie is half
    loss: float  # nats per sequence
    prompts: int


@torch.no_grad()
def score(
    model: GPT, tokenizer: Tokenizer, task: Task, kind: str = "novel", pairs: int = PAIRS
) -> Score:
    """The score on `pairs` pairs of the test split, or on as many as there are.

    `kind` is which structures: "familiar", "novel" or "all"; pairs of one's own have no kinds.
    """
    chosen = pairs_of_tests(task, pairs, kind)
    batch = encode(chosen, tokenizer, task_context(model.config.block_size))
    logits = answer_logits(model, batch.tokens, batch.last)
    return Score(
        two_way_accuracy(logits, batch.right, batch.wrong),
        float(two_way_loss(logits, batch.right, batch.wrong).mean()),
        len(batch),
    )


def pairs_of_tests(task: Task, pairs: int, kind: str = "all") -> tuple[Pair, ...]:
    """Pairs of the test split, fewer where there are no more."""
    try:
        return task.pairs("test", pairs, 0, kind)
    except TooFewPairs as error:
        return task.pairs("test", error.available, 0, kind)


def kinds_of(task: Task) -> tuple[str, ...]:
    """The kinds of structures that a task tells apart."""
    return KINDS if isinstance(task, TemplateTask) else ("all",)


def card_of(store: Store, model: str) -> Mapping[str, Any] | None:
    """What was written down of a model when it was trained here, None where nothing lies.

    Raises ValueError for a damaged card.
    """
    folder = store.path_of_model(model)
    path = None if folder is None else folder / CARD
    if path is None or not path.is_file():
        return None
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON ({error}); train or copy the model again") from error
    if not isinstance(card, dict):
        raise ValueError(f"{path} holds a {type(card).__name__}; expected an object: copy it again")
    return card


def stored_scores(card: Mapping[str, Any] | None, task: str) -> dict[str, Score]:
    """The scores of one task on a card, by kind of structure; empty where there are none."""
    found = ((card or {}).get("tasks") or {}).get(task) or {}
    try:
        return {
            kind: Score(one["accuracy"], one["loss"], one["prompts"]) for kind, one in found.items()
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"the card's scores of {task} cannot be read ({error}); publish the model again"
        ) from error
