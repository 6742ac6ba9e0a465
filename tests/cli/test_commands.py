"""The command line: what it prints, and how it refuses."""

import json
import shutil

import pytest
import torch

from circuit_sparsity.__main__ import main
from circuit_sparsity.experiment.answers import best_separating_pair, oriented
from tests.release.cases import CIRCUITS

YOLO1 = ("csp_yolo1", "single_double_quote", "prune_v2", "64")
ANSWERS = ("--answers", "('", '("')


@pytest.fixture
def cache(release_fixture, monkeypatch):
    """The release's files as somebody's cache folder; no network."""
    monkeypatch.setenv("CIRCUIT_SPARSITY_CACHE", str(release_fixture))
    monkeypatch.setenv("CIRCUIT_SPARSITY_URL", "http://127.0.0.1:9/none")
    return release_fixture


def run(capsys, *arguments):
    status = main([*arguments, "--json"])
    out, err = capsys.readouterr()
    assert status == 0, err
    return json.loads(out)


def refused(capsys, *arguments) -> str:
    assert main(list(arguments)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    return err


def test_list_says_of_models_and_circuits_where_and_how_large_they_are(cache, capsys):
    rows = run(capsys, "list")["entries"]
    found = {(row["what"], row["model"], row["task"], row["sweep"], row["k"]): row for row in rows}
    circuit, model = found["circuit", *YOLO1], found["model", "dense1_1x", None, None, None]
    assert (circuit["where"], model["where"]) == ("cached", "cached")
    assert circuit["size"] == cache.joinpath("viz", *YOLO1, "viz_data.pt").stat().st_size
    folder = cache / "models" / "dense1_1x"
    assert model["size"] == sum(path.stat().st_size for path in folder.iterdir())
    assert {row["licence"] for row in rows} == {"Apache-2.0"}
    assert main(["list", "--here"]) == 0
    assert f"in {cache} (CIRCUIT_SPARSITY_CACHE names another folder)" in capsys.readouterr().out


def test_everything_means_every_file_that_the_container_lists(mirror, capsys, release_fixture):
    fetched = run(capsys, "fetch", "--all")
    files = [path for top in ("models", "viz", "train_curves", "tinypython")
             for path in release_fixture.joinpath(top).rglob("*") if path.is_file()]  # fmt: skip
    empty = "models/csp_bridges1/final_bridges.pt"
    names = {path.relative_to(release_fixture).as_posix() for path in files}
    assert set(fetched["fetched"]) == names - {empty}
    assert list(fetched["troubles"]) == [empty]
    assert "is 0 bytes long" in fetched["troubles"][empty]


@pytest.mark.parametrize("model", ["csp_bridges1", "csp_bridge1"])
def test_a_models_bridges_come_with_it_by_either_of_its_names(mirror, capsys, model):
    run(capsys, "list", "--refresh")
    troubles = run(capsys, "fetch", model)["troubles"]
    assert list(troubles) == ["models/csp_bridges1/final_bridges.pt"]


def test_verify_reads_downloads_again_and_names_what_was_changed(mirror, capsys):
    run(capsys, "list", "--refresh")
    run(capsys, "fetch", "dense1_1x")
    assert len(run(capsys, "verify")["whole"]) == 4
    weights = mirror / "models" / "dense1_1x" / "final_model.pt"
    content = bytearray(weights.read_bytes())
    content[1000] ^= 1
    weights.write_bytes(content)
    message = refused(capsys, "verify", "models/dense1_1x")
    assert "1 of 2 files are damaged" in message
    assert f"{weights} has the right length, {len(content):,} bytes, but other content" in message
    assert len(run(capsys, "verify", "tinypython/")["whole"]) == 2
    assert "models/dense1_8x is not on this machine" in refused(
        capsys, "verify", "models/dense1_8x"
    )


def test_a_model_that_has_no_circuits_yet_is_told_from_an_unknown_one(cache, capsys):
    message = refused(capsys, "evaluate", "dense1_1x", "single_double_quote", "prune_v4", "64")
    assert "no circuits of the model dense1_1x are known" in message
    assert "there is no model 'gpt5'" in refused(capsys, "evaluate", "gpt5", "t", "s", "k")


def test_means_that_nobody_has_are_told_from_means_that_can_be_fetched(mirror, capsys):
    run(capsys, "fetch", "dense1_1x")
    asked = ("prune", "dense1_1x", "single_double_quote", "--k", "8")
    assert "download them with" in refused(capsys, *asked)
    run(capsys, "list", "--refresh")
    assert "the container lists none either" in refused(capsys, *asked)


def test_ctrl_c_while_the_commands_are_loading_is_a_word(monkeypatch, capsys):
    def interrupted(name):
        raise KeyboardInterrupt

    monkeypatch.setattr("circuit_sparsity.__main__.importlib.import_module", interrupted)
    assert main(["list"]) == 130
    assert capsys.readouterr().err == "stopped\n"


@pytest.mark.parametrize("name", CIRCUITS)
def test_every_circuit_evaluates_and_ablates_to_half_of_what_its_file_stores(cache, capsys, name):
    names = name.split("/")
    words = json.loads((cache / "answers.json").read_text())["/".join(names[:2])]
    raw = torch.load(cache.joinpath("viz", *names, "viz_data.pt"), weights_only=True)
    stored = raw["importances"]
    data = run(capsys, "evaluate", *names, "--answers", *words)
    assert data["model_loss"] == pytest.approx(stored["loss"] / 2, abs=1e-5)
    assert data["circuit_loss"] == pytest.approx(stored["interv_loss"] / 2, abs=1e-5)
    assert data["nodes"] == sum(map(len, raw["circuit_data"].values()))
    assert data["prompts"] == 8
    every = run(capsys, "ablate", *names, "--all", "--answers", *words)["nodes"]
    losses = {
        f"{place}:{channel}": float(loss) / 2
        for place, channels in raw["circuit_data"].items()
        if len(channels)
        for channel, loss in zip(channels.tolist(), stored["ch_interv_losses"][place], strict=True)
    }
    assert {row["node"]: row["loss"] for row in every} == pytest.approx(losses, abs=1e-5)


def test_ablate_gives_half_of_what_the_file_stores(cache, capsys):
    path = cache.joinpath("viz", *YOLO1, "viz_data.pt")
    stored = torch.load(path, weights_only=True)
    place = "2.mlp.post_act"
    channels = stored["circuit_data"][place].tolist()[:3]
    nodes = [f"{place}:{channel}" for channel in channels]
    data = run(capsys, "ablate", *YOLO1, *nodes, *ANSWERS)
    assert [row["node"] for row in data["nodes"]] == nodes
    losses = stored["importances"]["ch_interv_losses"][place][:3]
    for row, loss in zip(data["nodes"], losses, strict=True):
        assert row["loss"] == pytest.approx(float(loss) / 2, abs=1e-5)
        assert row["delta"] == pytest.approx(row["loss"] - data["circuit_loss"], abs=1e-9)
    assert data["set_delta"] == pytest.approx(data["set_loss"] - data["circuit_loss"], abs=1e-9)


def test_a_node_outside_the_circuit_is_refused(cache, capsys):
    message = refused(capsys, "ablate", *YOLO1, "0.mlp.post_act:127", *ANSWERS)
    assert "does not keep 0.mlp.post_act:127; it has 64 nodes, such as" in message


@pytest.mark.parametrize(
    ("position", "wrong", "expected"),
    [
        (0, "gpt5", "there is no model 'gpt5' here; there are: "),
        (1, "sums", "there is no task 'sums' here of that model; there are: single_double_quote"),
        (2, "v9", "there is no sweep 'v9' here of that task; there are: prune_v2"),
        (3, "65", "there is no k '65' here of that sweep; there are: "),
    ],
)
def test_an_unknown_name_is_refused_beside_the_known_ones(cache, capsys, position, wrong, expected):
    names = list(YOLO1)
    names[position] = wrong
    assert expected in refused(capsys, "evaluate", *names)


def test_a_word_that_is_no_node_is_refused(cache, capsys):
    assert "not a node: 'post_act'" in refused(capsys, "ablate", *YOLO1, "post_act", *ANSWERS)


def test_ablate_wants_nodes_or_all(cache, capsys):
    assert "name nodes or edges, or give --all" in refused(capsys, "ablate", *YOLO1)


def test_an_answer_of_two_tokens_is_refused(cache, capsys):
    message = refused(capsys, "evaluate", *YOLO1, "--answers", "hello world", "3")
    assert "the answer 'hello world' is " in message
    assert "expected the text of one token, or a token id" in message


def test_a_damaged_circuit_says_which_file_and_how_long(
    release_fixture, capsys, monkeypatch, tmp_path
):
    for part in ("models/csp_yolo1", "tinypython"):
        shutil.copytree(release_fixture / part, tmp_path / part)
    viz = tmp_path.joinpath("viz", *YOLO1)
    viz.mkdir(parents=True)
    viz.joinpath("viz_data.pt").write_bytes(b"PK\x03\x04 nothing more")
    monkeypatch.setenv("CIRCUIT_SPARSITY_CACHE", str(tmp_path))
    message = refused(capsys, "evaluate", *YOLO1)
    assert "viz_data.pt" in message
    assert "17 bytes" in message


def test_the_pair_that_separates_the_halves_is_found():
    logits = torch.zeros(6, 10)
    logits[:3, 4] = 5.0
    logits[3:, 7] = 5.0
    logits[:, 2] = 6.0  # likely everywhere, so it separates nothing
    assert best_separating_pair(logits) == (4, 7)
    assert oriented(logits, (7, 4)) == (4, 7)


def test_prompts_without_halves_have_no_pair():
    with pytest.raises(ValueError, match="3 prompts have no two equal halves"):
        best_separating_pair(torch.zeros(3, 10))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("csp_yolo5", "single_double_quote", "--k", "9"), "there is no model named 'csp_yolo5'"),
        (("csp_yolo1", "sums", "--k", "9"), "there is no task named 'sums'; there are: "),
        (
            ("csp_yolo1", "single_double_quote", "--k", "9999"),
            "a circuit of 9999 nodes was asked for; csp_yolo1 has ",
        ),
    ],
)
def test_prune_refuses_what_it_cannot_do(cache, capsys, arguments, expected):
    assert expected in refused(capsys, "prune", *arguments)


@pytest.fixture
def mirror(release_fixture, monkeypatch, tmp_path):
    """An empty cache folder, and the release's files as a folder in place of the container."""
    monkeypatch.setenv("CIRCUIT_SPARSITY_CACHE", str(tmp_path))
    monkeypatch.setenv("CIRCUIT_SPARSITY_URL", release_fixture.as_uri())
    return tmp_path


def where(capsys, *arguments) -> dict[tuple, str]:
    rows = run(capsys, "list", *arguments)["entries"]
    return {(row["model"], row["task"], row["sweep"], row["k"]): row["where"] for row in rows}


def test_what_is_fetched_can_be_run_and_cleared(mirror, capsys):
    assert where(capsys, "--refresh")[YOLO1] == "remote"
    fetched = run(capsys, "fetch", *YOLO1)
    assert "models/csp_yolo1/final_model.pt" in fetched["fetched"]
    assert where(capsys)[YOLO1] == "cached"
    assert run(capsys, "evaluate", *YOLO1, *ANSWERS)["nodes"] == 64
    assert run(capsys, "fetch", *YOLO1)["fetched"] == []
    size = sum(path.stat().st_size for path in mirror.rglob("*.pt"))
    assert run(capsys, "clear")["freed"] >= size
    assert where(capsys)[YOLO1] == "remote"


def test_fetching_what_a_circuit_stores_leaves_its_model_behind(mirror, capsys):
    data = run(capsys, "fetch", *YOLO1, "--stored-only")
    assert data["fetched"] == ["viz/csp_yolo1/single_double_quote/prune_v2/64/viz_data.pt"]
    assert "the model csp_yolo1 is not on this machine" in refused(capsys, "evaluate", *YOLO1)


def test_fetching_nothing_known_says_how_to_look(mirror, capsys):
    message = refused(capsys, "fetch", "csp_yolo1", "sums")
    assert "nothing is known of csp_yolo1 · sums: refresh the catalogue" in message


def test_ablate_takes_edges_and_holds_them_at_zero(cache, capsys):
    edges = run(capsys, "ablate", *YOLO1, "--edges", *ANSWERS)["edges"]
    edge = max(edges, key=lambda one: abs(one["delta"]))
    again = run(capsys, "ablate", *YOLO1, edge["edge"], *ANSWERS)["nodes"][0]
    assert again["delta"] == pytest.approx(edge["delta"], abs=1e-6)
    zero = run(capsys, "ablate", *YOLO1, edge["edge"], "--fill", "zero", *ANSWERS)
    assert (zero["fill"], zero["nodes"][0]["node"]) == ("zero", edge["edge"])


def test_the_parts_of_evidence_that_the_command_offers_are_those_that_can_be_measured():
    from circuit_sparsity.cli.evidence import FURTHER
    from circuit_sparsity.evidence.further import PARTS

    assert tuple(PARTS) == FURTHER
