"""Guesses without a model, on texts that are told apart by one thing alone, and on real tasks."""

import pytest

from circuit_sparsity.core.tokenizer import load_tokenizer
from circuit_sparsity.evidence.shortcuts import shortcuts, shortcuts_of
from circuit_sparsity.store import Store
from circuit_sparsity.tasks import TASKS


def texts(positive: list[list[int]], negative: list[list[int]]) -> list[list[int]]:
    return [*positive, *negative]


def test_the_last_token_the_last_two_and_a_token_anywhere_are_told_apart() -> None:
    # Last token 7 or 8.
    last = texts([[i, 7] for i in range(1, 5)], [[i, 8] for i in range(1, 5)])
    found = shortcuts_of(last, last)
    assert (found.last, found.last_two, found.bag) == (1.0, 1.0, 1.0)
    assert found.length == 0.5
    # The last two, whose tokens are the same on either side: 1 2 and 2 1 against 1 1 and 2 2.
    two = texts([[1, 2], [2, 1]], [[1, 1], [2, 2]])
    found = shortcuts_of(two, two)
    assert (found.last, found.last_two) == (0.5, 1.0)
    # A 9 somewhere in the middle.
    bag = texts([[9, 1, 5], [1, 9, 5]], [[3, 1, 5], [1, 3, 5]])
    found = shortcuts_of(bag, bag)
    assert (found.last, found.bag) == (0.5, 1.0)


def test_length_is_a_threshold_whichever_way() -> None:
    long, short = [[1] * n for n in (6, 7, 8)], [[1] * n for n in (2, 3, 4)]
    assert shortcuts_of(texts(long, short), texts(long, short)).length == 1.0
    assert shortcuts_of(texts(short, long), texts(short, long)).length == 1.0
    assert shortcuts_of(texts(long, short), texts(short, long)).length == 0.0


def test_what_was_never_seen_is_a_coin() -> None:
    fitted = texts([[1]], [[2]])
    assert shortcuts_of(fitted, texts([[3]], [[4]])).last == 0.5


@pytest.mark.parametrize(
    ("task", "measure", "least"),
    [("else_elif", "last", 1.0), ("var_if", "last_two", 1.0), ("bracket_counting", "bag", 1.0)],
)
def test_tasks_that_a_guess_answers(task: str, measure: str, least: float) -> None:
    folder = Store.from_environment().path_of_tokenizer("main")
    assert folder is not None
    found = shortcuts(TASKS[task], load_tokenizer(folder), 256)
    assert getattr(found, measure) >= least
    assert found.tested == 256
