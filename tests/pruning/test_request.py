"""From names, or from a model and a task of one's own, to a circuit and its files."""

import errno
import json
import os
import threading

import pytest

from circuit_sparsity.__main__ import main
from circuit_sparsity.circuits.circuit import total_nodes
from circuit_sparsity.evidence.evidence import read_evidence
from circuit_sparsity.experiment.experiment import Cancelled
from circuit_sparsity.experiment.opening import open_model, open_stored, open_tokenizer
from circuit_sparsity.pruning import request as ways
from circuit_sparsity.pruning.learn import Snapshot
from circuit_sparsity.pruning.ranking import read_nested
from circuit_sparsity.pruning.request import (
    Observer,
    PruneRequest,
    carry_out,
    open_cut,
    open_subject,
    prune,
)
from circuit_sparsity.pruning.settings import QUICK, Goal
from circuit_sparsity.store import NoSpace, Store, paths
from circuit_sparsity.tasks.own import OwnTask
from circuit_sparsity.tasks.task import Pair, Prompt

MODEL = "csp_yolo1"
FEW = OwnTask(
    "few",
    "Five pairs of one's own.",
    tuple(
        Pair(Prompt(f"for {x}", " in", ":\n"), Prompt(f"while {x}", ":\n", " in"))
        for x in ("a", "b", "c", "d", "e")
    ),
)


@pytest.fixture
def store(release_fixture, monkeypatch, tmp_path) -> Store:
    """A user's folder with the released models beside it; few documents, so that it is quick."""
    for part in ("models", "tinypython"):
        (tmp_path / part).symlink_to(release_fixture / part)
    viz = tmp_path / "viz" / MODEL
    viz.mkdir(parents=True)
    means = paths.means_name(MODEL)
    (tmp_path / means).symlink_to(release_fixture / means)
    monkeypatch.setenv("CIRCUIT_SPARSITY_CACHE", str(tmp_path))
    monkeypatch.setenv("CIRCUIT_SPARSITY_URL", "http://127.0.0.1:9/none")
    monkeypatch.setattr(ways, "DOCUMENT_WINDOWS", 2)
    return Store.from_environment()


def test_a_notebook_prunes_by_names_or_with_a_model_and_a_task_of_its_own(store) -> None:
    by_name = prune(MODEL, FEW, QUICK, k=12)
    model, tokenizer = open_model(store, MODEL), open_tokenizer(store, MODEL)
    subject = open_subject(MODEL, FEW, QUICK)
    given = prune(model, FEW, QUICK, k=12, tokenizer=tokenizer, means=subject.means)
    assert (by_name.size, by_name.model, by_name.task) == (12, MODEL, "few")
    assert given.nodes == by_name.nodes
    assert prune(model, FEW, QUICK, k=3, tokenizer=tokenizer).means_hash != subject.means.hash


def test_a_model_without_a_tokenizer_is_refused(store) -> None:
    with pytest.raises(ValueError, match="without its tokenizer"):
        prune(open_model(store, MODEL), FEW, QUICK, k=12)


def test_an_own_task_of_five_pairs_is_stored_with_the_circuits_of_every_size(store) -> None:
    made = carry_out(PruneRequest(MODEL, "few", k=12, settings=QUICK), store, task=FEW)
    names = MODEL, "few", "local", made.circuit.k
    assert open_stored(store, *names).circuit.nodes == made.circuit.nodes
    nested = read_nested(made.path.parent)
    assert nested is not None
    config = made.experiment.model.config
    assert nested.curve == made.nested.curve
    assert nested.curve[-1][0] == total_nodes(config)
    assert nested.curve[-1][1] >= 0
    cut = open_cut(store, made.circuit, FEW)
    assert cut is not None
    found = [cut.circuit(Goal(k=k), minimal=False) for k in (1, 12, 100)]
    assert [circuit.size for circuit in found] == [1, 12, 100]
    assert made.circuit.found.minimality is not None
    assert found[1].found.minimality is None


def test_the_command_finds_measures_and_tells(store, capsys, few_pairs) -> None:
    arguments = ["prune", MODEL, "for_while", "--k", "20", "--mode", "quick", "--json"]
    assert main(arguments) == 0
    told = json.loads(capsys.readouterr().out)
    assert {"necessity", "kl", "exact_match", "random_control", "edges_needed"} <= set(told)
    assert told["nodes"] == 20
    stored = open_stored(store, MODEL, "for_while", "local", told["k"])
    evidence = read_evidence(store, stored.circuit)
    assert evidence is not None
    assert evidence.necessity == told["necessity"]
    assert evidence.ranking == "quick"
    name = (MODEL, "for_while", "local", told["k"])
    assert main(["evidence", *name, "--draws", "2", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["sufficiency"] == pytest.approx(evidence.sufficiency)
    assert again["ranking"] == "the run that found the circuit"
    assert len(again["controls"][0]["losses"]) == 2


def test_preset_and_mode_together_are_refused(store, capsys) -> None:
    with pytest.raises(SystemExit):
        main(["prune", MODEL, "for_while", "--k", "9", "--mode", "quick", "--preset", "fast"])
    assert "not allowed with" in capsys.readouterr().err


@pytest.mark.parametrize("stage", ["size", "nodes", "measure"])
def test_a_cancelled_request_stores_nothing(store, stage) -> None:
    cancel = threading.Event()

    def report(snapshot: Snapshot) -> None:
        if snapshot.stage == stage:
            cancel.set()

    def progress(done: int, of: int) -> None:
        cancel.set()

    request = PruneRequest(MODEL, "few", k=12, settings=QUICK)
    with pytest.raises(Cancelled):
        carry_out(request, store, Observer(report, progress, cancel=cancel), FEW)
    assert not (store.folder / "viz" / MODEL / "few").exists()


def test_a_full_disk_is_said_with_what_to_do_and_leaves_no_circuit(store, monkeypatch) -> None:
    replace = os.replace

    def full(source, target) -> None:
        if str(target).endswith("viz_data.pt"):
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(NoSpace, match="became full while viz/csp_yolo1/few/local/k12"):
        carry_out(PruneRequest(MODEL, "few", k=12, settings=QUICK), store, task=FEW)
    folder = store.folder / "viz" / MODEL / "few"
    assert not list(folder.rglob("viz_data.pt"))
    assert not list(folder.rglob("*.tmp"))
    assert [row for row in store.rows() if row.task == "few"] == []
