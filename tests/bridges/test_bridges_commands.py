"""The four commands: train a small pair, list, measure, carry an edit over; and bad input."""

import json
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from circuit_sparsity.__main__ import main
from circuit_sparsity.bridges import publication
from circuit_sparsity.bridges.bridge import Bridges, Pairing
from circuit_sparsity.bridges.files import FILE, StoredBridges, read_description, write_bridges
from circuit_sparsity.core.checkpoint import save_model
from circuit_sparsity.core.model import GPT
from circuit_sparsity.core.tokenizer import load_tokenizer
from circuit_sparsity.store import paths
from circuit_sparsity.training import corpus
from tests.bridges.rotated import D_DENSE, D_SPARSE, TOKENIZER, config

MAIN = TOKENIZER  # the shipped model's folder
CIRCUIT = ("single_double_quote", "full", "k43_seed0_full")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder; no network."""
    monkeypatch.setenv("CIRCUIT_SPARSITY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CIRCUIT_SPARSITY_URL", "http://127.0.0.1:9/none")
    return tmp_path / "cache"


def put_model(cache, name: str, d_model: int, seed: int, **changes) -> GPT:
    model = GPT(config(d_model, vocab_size=2048, block_size=32, **changes))
    model.initialise(seed)
    folder = cache / "models" / name
    save_model(model.requires_grad_(False), folder)
    for file in paths.TOKENIZER:
        shutil.copyfile(TOKENIZER / file, folder / file)
    return model


def put_bridges(folder, sparse: str, dense: str, d_sparse: int, d_dense: int, layers: int) -> None:
    torch.manual_seed(0)
    pairing = Pairing.of(*(config(d, n_layer=layers) for d in (d_sparse, d_dense)))
    bridges = Bridges(pairing, d_sparse, d_dense, d_sparse // 2)
    tokenizer = load_tokenizer(folder).fingerprint
    write_bridges(StoredBridges(bridges, sparse, dense, tokenizer), folder / FILE)


@pytest.fixture
def tiny(cache):
    """A pair of small models; the sparse one's folder has random bridges."""
    put_model(cache, "thin", D_SPARSE, 0)
    put_model(cache, "thick", D_DENSE, 1)
    put_bridges(cache / "models" / "thin", "thin", "thick", D_SPARSE, D_DENSE, 2)
    return cache


def run(capsys, *arguments):
    status = main([*arguments, "--json"])
    out, err = capsys.readouterr()
    assert status == 0, err
    return json.loads(out)


def refused(capsys, *arguments) -> str:
    assert main(list(arguments)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    return err


def test_bridges_tells_which_pairs_are_here(tiny, capsys):
    told = run(capsys, "bridges")
    pairs = {(one["sparse"], one["dense"]): one for one in told["pairs"]}
    assert pairs["thin", "thick"]["where"] == "cached"
    assert not pairs["thin", "thick"]["ships"]
    assert told["troubles"] == []
    (tiny / "models" / "thin" / FILE).write_bytes(b"")
    assert "is 0 bytes long" in run(capsys, "bridges")["troubles"][0]


def test_evaluate_gives_the_documented_keys(tiny, capsys):
    told = run(capsys, "bridge-evaluate", "thin", "thick", "--tokens", "256")
    assert [one["site"] for one in told["sites"]] == ["0.attn", "0.mlp", "1.attn", "1.mlp"]
    keys = {"site", "nmse_to_sparse", "nmse_to_dense", "loss_dense_to_sparse",
            "loss_sparse_to_dense"}  # fmt: skip
    assert set(told["sites"][0]) == keys
    assert told["tokens"] == 256
    # Fresh weights of .02 know nothing: each model's loss is that of a guess among 2,048.
    assert told["loss_sparse"] == pytest.approx(7.62, abs=0.05)
    assert told["loss_dense"] == pytest.approx(7.62, abs=0.05)


def test_a_pair_is_trained_published_and_goes_on_where_it_stopped(
    tiny, capsys, tmp_path, monkeypatch
):
    monkeypatch.setattr(corpus, "real_files", lambda settings: [("json.py", Path(json.__file__))])
    monkeypatch.setattr(corpus, "_is_held_out", lambda relative, share: False)
    monkeypatch.setattr(publication, "EVALUATED", 256)
    monkeypatch.setattr(publication, "RIDGE_TOKENS", 512)
    monkeypatch.setattr(publication, "measure", lambda *_: {})
    means, tokens = publication.reference_means, corpus.generated_tokens
    monkeypatch.setattr(publication, "reference_means", partial(_means, means))
    monkeypatch.setattr(corpus, "generated_tokens", partial(_in_this_process, tokens))
    settings = {
        "name": "joined", "sparse": "thin", "dense": "thick", "steps": 2, "batch": 4,
        "context": 16, "ridge_tokens": 512, "evaluate_tokens": 64,
        "corpus": {"generated_tokens": 3000, "heldout_generated_tokens": 1000,
                   "generated_share": 1.0},
    }  # fmt: skip
    file = tmp_path / "settings.json"
    file.write_text(json.dumps(settings))
    command = ("bridge-train", "thin", "thick", "--settings", str(file), "--run",
               str(tmp_path / "run"))  # fmt: skip
    card = run(capsys, *command)
    assert set(card["bridges"]) >= {"trained", "ridge", "ridge_of_untrained"}
    assert card["stages"][-1]["steps"] == 2
    again = run(capsys, *command)  # the run is over: the same is published again
    assert again["bridges"]["trained"] == card["bridges"]["trained"]
    told = run(capsys, "bridges")
    names = {(one["sparse"], one["dense"], one["where"]) for one in told["pairs"]}
    assert ("joined", "thick", "local") in names
    found = run(capsys, "bridge-evaluate", "joined", "thick", "--tokens", "128")
    assert len(found["sites"]) == 4


def _in_this_process(original, series, n, tokenizer, processes, mixture):
    return original(series, n, tokenizer, 1, mixture)


def _means(original, model, settings, corpus):
    return original(model, settings, _without_real(corpus))


def _without_real(made):
    return corpus.Corpus(**{**vars(made), "heldout_real": made.heldout_generated})


def test_an_edit_of_a_shipped_circuit_is_carried_over_with_the_documented_keys(cache, capsys):
    """Random bridges between the shipped models: the keys and what strength 0 must give."""
    folder = cache / "models" / "main"
    shutil.copytree(MAIN, folder)
    put_bridges(folder, "main", "dense", 256, 160, 3)
    told = run(capsys, "bridge-transfer", "main", "dense", *CIRCUIT, "2.mlp.act_in:18",
               "--strength", "0", "1", "--draws", "2")  # fmt: skip
    zero, one = told["strengths"]
    assert set(zero) == {"strength", "sparse_p_right", "dense_p_right", "random_channels_p_right",
                         "random_directions_p_right"}  # fmt: skip
    assert zero["dense_p_right"] == pytest.approx(zero["random_channels_p_right"])
    assert zero["dense_p_right"] == pytest.approx(zero["random_directions_p_right"])
    assert zero["dense_p_right"] > 0.9
    assert one["sparse_p_right"] < zero["sparse_p_right"]
    assert told["edit"] == "the other class's value"
    message = refused(capsys, "bridge-transfer", "main", "dense", *CIRCUIT, "2.mlp.act_in:19",
                      "--strength", "1")  # fmt: skip
    assert "does not keep 2.mlp.act_in:19" in message


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("bridge-evaluate", "thin", "main"), "thin to thick, not to main"),
        (("bridge-evaluate", "thick", "thin"), "no bridges between thick and thin are here"),
        (("bridge-evaluate", "starter", "dense"), "bridges join models with one tokenizer"),
        (("bridge-evaluate", "thin", "nobody"), "there is no model named 'nobody'"),
        (("bridge-train", "thin", "dense"), "2 layers and the dense one 3: say which sites"),
        (("bridge-train", "thin", "thick", "--context", "64"), "context is 64 tokens; expected at"),
        (("bridge-train", "thin", "thick", "--pairing", "0=0"), "not a site: '0'"),
        (("bridge-train", "thin", "thick", "--steps", "0"), "steps is 0; expected at least 1"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line_before_work_begins(tiny, capsys, command, said):
    before = sorted(tiny.rglob("*"))
    assert said in refused(capsys, *command)
    assert sorted(tiny.rglob("*")) == before


def test_bridges_of_another_shape_or_tokenizer_are_refused(tiny, capsys):
    path = tiny / "models" / "thin" / FILE
    put_bridges(tiny / "models" / "thin", "thin", "thick", D_SPARSE, D_DENSE + 1, 2)
    assert "the models have 12 and 16" in refused(capsys, "bridge-evaluate", "thin", "thick")
    put_bridges(tiny / "models" / "thin", "thin", "thick", D_SPARSE, D_DENSE, 2)
    save_file(load_file(path), path, read_description(path) | {"tokenizer": "0ther"})
    assert "trained with the tokenizer 0ther" in refused(capsys, "bridge-evaluate", "thin", "thick")


def test_an_empty_released_file_is_said_so(tiny, capsys):
    folder = tiny / "models" / "thin"
    (folder / FILE).unlink()
    (folder / "final_bridges.pt").write_bytes(b"")
    message = refused(capsys, "bridge-evaluate", "thin", "thick")
    assert "final_bridges.pt is 0 bytes long" in message
