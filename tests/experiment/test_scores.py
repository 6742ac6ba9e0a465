"""Scores of the shipped starter, measured and off its card."""

import pytest

from circuit_sparsity.experiment.opening import open_model, open_tokenizer
from circuit_sparsity.experiment.scores import (
    card_of,
    kinds_of,
    pairs_of_tests,
    score,
    stored_scores,
)
from circuit_sparsity.store import Store
from circuit_sparsity.tasks import TASKS
from circuit_sparsity.tasks.own import OwnTask
from circuit_sparsity.tasks.task import Pair, Prompt


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CIRCUIT_SPARSITY_CACHE", str(tmp_path_factory.mktemp("empty")))
        yield Store.from_environment()


def test_what_is_measured_here_is_near_the_card_on_the_same_prompts(store):
    model, tokenizer = open_model(store, "starter", "dense"), open_tokenizer(store, "starter")
    stored = stored_scores(card_of(store, "starter"), "else_elif")["novel"]
    found = score(model, tokenizer, TASKS["else_elif"], "novel", 40)
    assert found.prompts == 80
    assert found.accuracy == pytest.approx(stored.accuracy, abs=0.1)


def test_pairs_of_ones_own_have_no_kinds_and_fewer_pairs_are_no_error():
    pairs = tuple(
        Pair(Prompt(f"for x{i}", " in", ":"), Prompt(f"while x{i}", ":", " in")) for i in range(8)
    )
    task = OwnTask("own", "Mine.", pairs)
    assert kinds_of(task) == ("all",)
    assert len(pairs_of_tests(task, 99)) == 2


def test_no_card_has_no_scores(store):
    assert card_of(store, "nobody") is None
    assert stored_scores(None, "else_elif") == {}
    with pytest.raises(ValueError, match="scores of else_elif cannot be read"):
        stored_scores({"tasks": {"else_elif": {"novel": {"accuracy": 1}}}}, "else_elif")
