"""The commands tasks, claims and table on the starter that ships."""

import json

import pytest

from circuit_sparsity.__main__ import main
from circuit_sparsity.evidence.claims.values import Claims, read_claims
from circuit_sparsity.store import Store
from circuit_sparsity.tasks import TASKS


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("claims")


@pytest.fixture(autouse=True)
def own_folder(folder, monkeypatch):
    monkeypatch.setenv("CIRCUIT_SPARSITY_CACHE", str(folder))


def run(capsys, *arguments):
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_tasks_are_told_without_a_model(capsys):
    tasks = run(capsys, "tasks", "--examples", "1")["tasks"]
    assert [one["name"] for one in tasks] == list(TASKS)
    assert all(sum(one["templates"].values()) >= 8 for one in tasks)
    assert all(one["examples"][0]["positive"]["text"] for one in tasks)


def test_the_difference_of_a_pair_is_marked(capsys):
    assert main(["tasks", "--task", "for_while", "--examples", "1"]) == 0
    assert "«for»" in (out := capsys.readouterr().out)
    assert "«while»" in out


def test_a_model_is_measured_on_pairs_of_ones_own(capsys):
    told = run(capsys, "tasks", "starter", "--pairs", "docs/own_tasks/comparison.csv")
    (one,) = told["tasks"]
    assert one["name"] == "comparison"
    assert one["measured"]["all"]["prompts"] == 4


def test_an_unknown_task_is_named(capsys):
    assert main(["tasks", "--task", "sums"]) == 2
    assert "there is no task named 'sums'" in capsys.readouterr().err


def test_claims_read_what_is_there_and_say_what_is_missing(capsys, monkeypatch):
    every = Store.rows
    few = ("starter", "half_l0")  # the circuits of six models take their time
    monkeypatch.setattr(Store, "rows", lambda store: [r for r in every(store) if r.model in few])
    asked = ("--task", "single_double_quote", "var_swap", "--target", "0.15", "0.5")
    told = run(capsys, "claims", "--model", "starter", *asked)
    ways = {(one["way"], one["target"]) for one in told["edges"]}
    assert {("learned masks", 0.15), ("learned masks", 0.5), ("attribution", 0.5)} <= ways
    assert {one["task"] for one in told["edges"]} == {"single_double_quote"}
    assert all(one["loss"] <= one["target"] for one in told["edges"])
    what = {one["what"] for one in told["missing"]}
    assert {"dense against sparse edges", "starter · var_swap"} <= what
    del told["schema"]
    assert read_claims(Store.from_environment()) == Claims.from_dict(told)
    assert main(["claims"]) == 0
    shown = capsys.readouterr().out
    assert "Fig. 31: attribution over learned masks" in shown
    assert "claims --model starter" in shown


def test_claims_of_a_model_that_is_not_here_are_refused(capsys):
    assert main(["claims", "--model", "nobody"]) == 2
    assert "the model nobody is not on this machine" in capsys.readouterr().err


def test_the_table_has_a_line_for_every_task(capsys, tmp_path):
    assert main(["table", "starter", "--out", str(tmp_path / "TASKS.md")]) == 0
    text = (tmp_path / "TASKS.md").read_text()
    assert all(f"| {task} |" in text for task in TASKS)
    row = next(line for line in text.splitlines() if line.startswith("| single_double_quote |"))
    assert "| 22 | 0.929 |" in row
