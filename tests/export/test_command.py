"""``export`` from the shell: what it writes, and how it refuses."""

import json

import pytest

from circuit_sparsity.__main__ import main
from circuit_sparsity.experiment.experiment import Experiment
from circuit_sparsity.experiment.opening import open_circuit
from tests.export.fresh import answers

CIRCUIT = ("starter", "single_double_quote", "full", "k24_seed0_full")


@pytest.fixture
def export(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> dict:
        assert main(["export", *CIRCUIT, *arguments, "--json"]) == 0
        return json.loads(capsys.readouterr().out)["files"]

    return run


@pytest.fixture(scope="module")
def opened() -> Experiment:
    return open_circuit(*CIRCUIT)


def test_the_file_is_named_after_the_circuit_and_its_size_is_told(export, tmp_path):
    ((name, size),) = export("--format", "graphml").items()
    assert name == "starter-single_double_quote-full-k24_seed0_full.graphml"
    assert (tmp_path / name).stat().st_size == size


def test_nodes_and_edges_are_two_tables(export, tmp_path):
    files = export("--format", "csv", "--out", str(tmp_path / "deep" / "it.csv"))
    nodes, edges = (tmp_path / "deep" / f"it_{what}.csv" for what in ("nodes", "edges"))
    assert list(files) == [str(nodes), str(edges)]
    assert len(nodes.read_text().splitlines()) == 1 + 24
    assert len(edges.read_text().splitlines()) == 1 + 22


def test_what_is_switched_off_and_labels_and_recipe_go_into_the_json(export, tmp_path, opened):
    node = str(opened.circuit.node_list[0])
    (tmp_path / "labels.json").write_text(json.dumps({node: "the opening quote"}))
    (tmp_path / "recipe.json").write_text('{"steps": []}')
    more = ("--labels", "labels.json", "--recipe", "recipe.json", "--off", node, "--fill", "zero")
    (name,) = export("--format", "json", *more)
    told = json.loads((tmp_path / name).read_text())
    assert told["ablation"]["rise"] == pytest.approx(opened.ablate([node], "zero").delta, abs=1e-6)
    assert told["nodes"][0]["label"] == "the opening quote"
    assert told["recipe"] == {"steps": []}


def test_the_program_answers_as_the_circuit_does(export, tmp_path, opened):
    (name,) = export("--format", "python")
    batch = opened.batch.select([0])
    prompt = batch.tokens[0, : int(batch.last[0]) + 1].tolist()
    (told,) = answers(tmp_path / name, [prompt])
    logits = Experiment(opened.circuit, opened.model, opened.means, batch).logits(opened.alive)[0]
    assert told == pytest.approx({token: float(logits[token]) for token in told}, abs=1e-4)


@pytest.mark.parametrize(
    ("content", "message"), [("{", "is no JSON"), ('{"a": 1}', "holds no labels")]
)
def test_labels_that_are_none_are_refused(capsys, tmp_path, content, message):
    path = tmp_path / "labels.json"
    path.write_text(content)
    arguments = ["--format", "json", "--labels", str(path), "--out", str(tmp_path / "x.json")]
    assert main(["export", *CIRCUIT, *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "x.json").exists()
