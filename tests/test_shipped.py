"""What ships does what the README and the card say, measured here on the stored files."""

import dataclasses
import json
from pathlib import Path

import pytest

from circuit_sparsity.evidence.evidence import read_evidence
from circuit_sparsity.evidence.measures import RANDOM, random_nodes
from circuit_sparsity.evidence.prunings import NONSENSE, UNTRAINED
from circuit_sparsity.experiment.experiment import Experiment
from circuit_sparsity.experiment.opening import (
    open_circuit,
    open_means,
    open_model,
    open_stored,
    open_task,
    open_tokenizer,
)
from circuit_sparsity.store import Store
from circuit_sparsity.store.health import MANIFEST, shipped_files
from circuit_sparsity.tasks.task import encode, task_context
from circuit_sparsity.training.publication import task_scores

TASKS = ("single_double_quote", "bracket_counting")
SWEEPS = ("prune", "full")
DRAWS = 20


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    """A fresh machine without a network: only what ships."""
    folder = tmp_path_factory.mktemp("fresh")
    return dataclasses.replace(Store.from_environment(), folder=folder, url="http://127.0.0.1:9")


def shipped(store: Store, task: str) -> list[Experiment]:
    wanted = ("shipped", "starter", task)
    rows = [row for row in store.rows() if (row.where, row.model, row.task) == wanted]
    return [open_circuit(row.model, row.task, row.sweep, row.k, store) for row in rows]


def at_target(store: Store, task: str, sweep: str) -> Experiment:
    """The shipped circuit of a sweep that was pruned to the paper's target loss."""
    every = [opened for opened in shipped(store, task) if opened.circuit.sweep == sweep]
    (found,) = [opened for opened in every if opened.circuit.found.target == 0.15]
    return found


@pytest.mark.parametrize("task", TASKS)
def test_each_task_ships_with_four_sizes_found_with_the_shipped_means(store, task):
    experiments = shipped(store, task)
    assert len({opened.circuit.size for opened in experiments}) >= 4
    assert {opened.circuit.means_hash for opened in experiments} <= {
        open_means(store, "starter").hash,
        "",
    }


@pytest.mark.parametrize("task", TASKS)
def test_the_starter_solves_its_tasks(store, task):
    model, tokenizer = open_model(store, "starter"), open_tokenizer(store, "starter")
    scores = task_scores(model, tokenizer, task)
    assert scores["familiar"]["accuracy"] >= 0.98
    assert scores["novel"]["accuracy"] >= 0.90


@pytest.mark.parametrize("sweep", SWEEPS)
@pytest.mark.parametrize("task", TASKS)
def test_the_circuit_suffices_on_prompts_that_pruning_never_saw(store, task, sweep):
    assert at_target(store, task, sweep).of_circuit.loss <= 0.2


@pytest.mark.parametrize("task", TASKS)
def test_removal_node_by_node_leaves_fewer_nodes_and_edges(store, task):
    plain, full = (at_target(store, task, sweep) for sweep in SWEEPS)
    assert full.circuit.size < plain.circuit.size
    assert len(full.edges) < len(plain.edges)


@pytest.mark.parametrize("task", TASKS)
def test_evidence_ships_with_the_smallest_circuit(store, task):
    opened = at_target(store, task, "full")
    kept = read_evidence(store, opened.circuit)
    assert kept is not None
    assert kept.sufficiency == pytest.approx(opened.of_circuit.loss, abs=1e-4)
    assert kept.necessity == pytest.approx(opened.of_complement.loss, abs=1e-4)


@pytest.mark.parametrize("sweep", SWEEPS)
@pytest.mark.parametrize("task", TASKS)
def test_the_circuit_is_necessary_and_random_nodes_are_not(store, task, sweep):
    opened = at_target(store, task, sweep)
    few = dataclasses.replace(opened, batch=opened.batch.select(range(32)))
    assert opened.of_complement.loss >= 0.4
    controls = [random_nodes(opened.model.config, opened.circuit, seed) for seed in range(DRAWS)]
    rises = [
        dataclasses.replace(few, circuit=control).of_complement.loss - few.of_model.loss
        for control in controls
    ]
    assert sum(rises) / DRAWS <= 0.05


def test_test_prompts_share_no_word_with_pruning_prompts(store):
    for name in TASKS:
        task = open_task(name)
        seen = {pair.positive.text for pair in task.pairs("prune", 200, 0)}
        assert not seen & {pair.positive.text for pair in task.pairs("test", 128, 0)}


def test_the_card_beats_bigrams_on_both_kinds_of_text(store):
    folder = store.path_of_model("starter")
    assert folder is not None
    card = json.loads((folder / "card.json").read_text())
    for part, loss in card["held_out"].items():
        assert loss["model"] < loss["bigram"], part


def test_the_main_model_solves_twelve_tasks_and_the_dense_one_is_as_good_at_text(store):
    cards = {}
    for name in ("main", "dense"):
        folder = store.path_of_model(name)
        assert folder is not None
        cards[name] = json.loads((folder / "card.json").read_text())
    solved = [name for name, s in cards["main"]["tasks"].items() if s["novel"]["accuracy"] >= 0.95]
    assert len(solved) >= 12
    for part, loss in cards["main"]["held_out"].items():
        assert cards["dense"]["held_out"][part]["model"] == pytest.approx(loss["model"], abs=0.02)


def test_every_solved_task_ships_with_a_circuit_controls_and_a_dense_one_beside(store):
    folder = store.path_of_model("main")
    assert folder is not None
    scores = json.loads((folder / "card.json").read_text())["tasks"]
    solved = {name for name, s in scores.items() if s["novel"]["accuracy"] >= 0.95}
    rows = [row for row in store.rows() if row.where == "shipped"]
    assert solved <= {row.task for row in rows if row.model == "dense"}
    of_main = [row for row in rows if row.model == "main"]
    assert solved <= {row.task for row in of_main}
    for row in of_main:
        circuit = open_stored(store, row.model, row.task, row.sweep, row.k).circuit
        evidence = read_evidence(store, circuit)
        assert evidence is not None
        assert evidence.target == circuit.found.target == 0.15
        assert {one.name for one in evidence.controls} >= {RANDOM, NONSENSE, UNTRAINED}
        assert evidence.stability is not None
        # One circuit fails on structures that pruning never saw, and its evidence says so.
        assert (evidence.strays is not None) == (row.task == "bracket_brace")


def test_the_main_model_scores_what_its_card_says(store):
    folder = store.path_of_model("main")
    assert folder is not None
    told = json.loads((folder / "card.json").read_text())["tasks"]["with_open"]
    found = task_scores(open_model(store, "main"), open_tokenizer(store, "main"), "with_open")
    assert found["novel"]["accuracy"] == pytest.approx(told["novel"]["accuracy"], abs=0.005)


@pytest.mark.parametrize("name", ["starter", "main", "dense"])
def test_what_ships_is_small(store, name):
    folder = store.path_of_model(name)
    assert folder is not None
    assert sum(path.stat().st_size for path in Path(folder).iterdir()) <= 8_000_000


def test_the_longest_prompts_fit_the_context(store):
    model, tokenizer = open_model(store, "starter"), open_tokenizer(store, "starter")
    context = task_context(model.config.block_size)
    for name in TASKS:
        batch = encode(open_task(name).pairs("test", 128, 0), tokenizer, context, cut=False)
        assert batch.tokens.shape[1] <= context


def test_the_manifest_says_what_every_shipped_file_holds():
    """After a change on purpose: `python -m circuit_sparsity.store`."""
    shipped = Store.from_environment().shipped
    written = json.loads((shipped / MANIFEST).read_text(encoding="utf-8"))["files"]
    assert written == {
        name: {"size": file.size, "sha256": file.sha256}
        for name, file in shipped_files(shipped).items()
    }
