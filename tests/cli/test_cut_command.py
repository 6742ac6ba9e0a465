"""``cut``: a stored run at other sizes, from the shell, on what ships."""

import dataclasses
import json
import math

import pytest

from circuit_sparsity.__main__ import main
from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.circuits.edges import edges
from circuit_sparsity.experiment.experiment import Experiment
from circuit_sparsity.experiment.opening import experiment_on_tests, open_stored, open_tokenizer
from circuit_sparsity.pruning.any_k import guess_in_words, keep_family, open_run
from circuit_sparsity.pruning.family import Family, FamilyPoint, read_family
from circuit_sparsity.pruning.settings import PruneSettings
from circuit_sparsity.store import Store, paths

NAMES = ("starter", "single_double_quote", "full", "k24_seed0_full")


@pytest.fixture
def store(tmp_path, monkeypatch) -> Store:
    """A fresh machine without a network: only what ships, less its families."""
    monkeypatch.setenv("CIRCUIT_SPARSITY_CACHE", str(tmp_path))
    monkeypatch.setenv("CIRCUIT_SPARSITY_URL", "http://127.0.0.1:9/none")
    return Store.from_environment()


def cut(capsys, *arguments: str) -> list[dict]:
    status = main(["cut", *NAMES, *arguments, "--json"])
    out, err = capsys.readouterr()
    assert status == 0, err
    return json.loads(out)


def by_hand(circuit: Circuit) -> Family:
    """The stored circuit's nodes, last things first, as a family of one chain."""
    chain = tuple(reversed(circuit.node_list))
    points = (FamilyPoint(24, 0.136),)
    names = circuit.model, circuit.task, circuit.means_hash
    return Family(*names, PruneSettings(), (chain,), ((1, 0),), points, 0.0)


def independent_loss(opened: Experiment) -> float:
    """The masked model's own, by the plain forward pass."""
    return opened.run(opened.alive).loss


def test_the_family_beside_a_circuit_is_cut_at_any_size(store, capsys) -> None:
    stored = open_stored(store, *NAMES).circuit
    keep_family(store, stored, by_hand(stored))
    whole, part = cut(capsys, "--k", "24", "7")
    assert set(whole) >= {"k", "nodes", "edges", "circuit_loss", "test_loss", "seconds"}
    assert (whole["k"], whole["nodes"], whole["source"]) == (24, 24, "family")
    assert (part["k"], part["nodes"], part["source"]) == (7, 7, "family")
    run = open_run(store, stored)
    tokenizer = open_tokenizer(store, "starter")
    tests = experiment_on_tests(stored, run.cut.subject.model, run.cut.subject.means, tokenizer)
    assert whole["test_loss"] == pytest.approx(independent_loss(tests), abs=1e-5)
    assert whole["edges"] == len(edges(stored, run.cut.subject.model))
    decide = [run.cut.subject.evaluation, run.cut.subject.validation]
    losses = [independent_loss(dataclasses.replace(tests, batch=batch)) for batch in decide]
    assert whole["circuit_loss"] == pytest.approx(max(losses), abs=1e-5)
    assert "no better than a guess" in part["troubles"][0]
    assert whole["troubles"] == []


def test_the_most_nodes_with_so_many_edges(store, capsys) -> None:
    stored = open_stored(store, *NAMES).circuit
    keep_family(store, stored, by_hand(stored))
    (found,) = cut(capsys, "--edges", "12")
    more = cut(capsys, "--k", str(found["nodes"] + 1))[0]
    assert found["edges"] <= 12 < more["edges"]


def test_what_ships_is_read_where_the_user_has_none_and_the_users_own_comes_first(store) -> None:
    stored = open_stored(store, *NAMES).circuit
    keep_family(store, stored, by_hand(stored))
    folder = store.folder / paths.viz_name(*NAMES)
    assert read_family(folder.parent, stored) == by_hand(stored)
    run = open_run(store, stored)
    assert run.family == by_hand(stored)


def test_no_size_is_refused_with_what_to_give(store, capsys) -> None:
    assert main(["cut", *NAMES]) == 2
    assert "give --k with one or more" in capsys.readouterr().err


def test_a_circuit_without_a_run_says_how_to_make_one(store, capsys) -> None:
    assert main(["cut", *NAMES[:2], "prune", "k24_seed0", "--k", "12"]) == 2
    assert "has no run beside it" in capsys.readouterr().err


def test_a_size_that_the_model_does_not_have_is_refused(store, capsys) -> None:
    assert main(["cut", *NAMES, "--k", "99999"]) == 2
    assert "nodes: choose a number from 1 to that" in capsys.readouterr().err


def test_a_loss_of_a_guess_is_a_trouble_and_a_lower_one_is_not() -> None:
    assert guess_in_words(37, 0.68) is None
    for loss in (0.69, math.log(2), 0.71):
        assert "no better than a guess" in str(guess_in_words(37, loss))
