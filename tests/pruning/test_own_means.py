"""Means over a text of one's own: what they are, and that a circuit found with them keeps them."""

import json
from dataclasses import replace

import pytest
import torch

from circuit_sparsity.__main__ import main
from circuit_sparsity.core.names import Location
from circuit_sparsity.experiment.opening import (
    means_for,
    open_circuit,
    open_means,
    open_model,
    open_tokenizer,
)
from circuit_sparsity.inference.hook_utils import hook_recorder
from circuit_sparsity.pruning import request
from circuit_sparsity.pruning.request import (
    PruneRequest,
    carry_out,
    keep,
    means_over_text,
    open_cut,
)
from circuit_sparsity.pruning.settings import QUICK, Goal
from circuit_sparsity.store import Store

TASK = ("starter", "single_double_quote")
TEXT = "def first(values):\n    return values[0]\n\n\n" * 60


@pytest.fixture
def store(tmp_path, monkeypatch) -> Store:
    monkeypatch.setenv("CIRCUIT_SPARSITY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CIRCUIT_SPARSITY_URL", "http://127.0.0.1:9/none")
    return Store.from_environment()


@pytest.fixture
def few_documents(monkeypatch) -> None:
    """Texts beside a circuit are looked for in two windows."""
    monkeypatch.setattr(request, "DOCUMENT_WINDOWS", 2)


def test_means_are_over_whole_windows_of_the_text(store, tmp_path) -> None:
    model, tokenizer = open_model(store, "starter"), open_tokenizer(store, "starter")
    (tmp_path / "text.py").write_text(TEXT)
    found = means_over_text(model, tokenizer, tmp_path / "text.py")
    tokens = [*tokenizer.encode(TEXT), tokenizer.eot]
    windows = torch.tensor(tokens[: len(tokens) // 128 * 128]).view(-1, 128)
    with hook_recorder() as recorded, torch.no_grad():
        model(windows)
    place = Location(1, "mlp", "post_act")
    expected = recorded[str(place)].flatten(0, 1).mean(dim=0)
    assert torch.allclose(found.means.values[place], expected, atol=1e-5)
    assert found.title == f"text.py, {windows.numel():,} tokens"


def test_a_folder_is_read_file_by_file_and_other_endings_are_left_out(store, tmp_path) -> None:
    model, tokenizer = open_model(store, "starter"), open_tokenizer(store, "starter")
    folder = tmp_path / "texts"
    (folder / "deeper").mkdir(parents=True)
    (folder / "a.py").write_text(TEXT)
    (folder / "deeper" / "b.txt").write_text(TEXT)
    whole = means_over_text(model, tokenizer, folder)
    (folder / "c.bin").write_bytes(b"\xff\xfe" * 9000)
    assert means_over_text(model, tokenizer, folder).means.hash == whole.means.hash


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.txt", None, "there is no"),
        ("short.txt", b"x = 1\n", "less than one window of 128 tokens"),
        ("latin.txt", "caf\xe9 ".encode("latin-1") * 900, "cannot be read as text"),
    ],
)
def test_a_text_that_cannot_serve_is_named_with_what_to_do(
    store, tmp_path, name, content, said
) -> None:
    model, tokenizer = open_model(store, "starter"), open_tokenizer(store, "starter")
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=said) as error:
        means_over_text(model, tokenizer, tmp_path / name)
    assert name in str(error.value)


def test_a_circuit_found_with_other_means_is_opened_and_cut_with_them(
    store, tmp_path, capsys, few_pairs, few_documents
) -> None:
    (tmp_path / "text.py").write_text(TEXT)
    arguments = ["--k", "12", "--preset", "quick", "--sweep", "mine", "--json"]
    over = ["--means-over", str(tmp_path / "text.py")]
    assert main(["prune", *TASK, *arguments, *over]) == 0
    told = json.loads(capsys.readouterr().out)
    opened = open_circuit(*TASK, "mine", told["k"])
    model, tokenizer = open_model(store, "starter"), open_tokenizer(store, "starter")
    own = means_over_text(model, tokenizer, tmp_path / "text.py")
    assert told["k"] == f"k12_seed0_quick_over_{own.means.hash[:6]}"
    assert told["means_over"] == own.title == opened.circuit.found.means_over
    assert opened.means.hash == own.means.hash
    assert opened.means.hash != open_means(store, "starter").hash
    assert opened.of_circuit.loss == pytest.approx(told["test_loss"], abs=1e-6)
    cut = open_cut(store, opened.circuit)
    assert cut is not None
    smaller = cut.circuit(Goal(k=8), "mine", minimal=False)
    assert smaller.means_hash == own.means.hash
    keep(replace(opened, circuit=smaller), store)
    assert means_for(store, smaller).hash == own.means.hash


def test_means_of_a_circuit_that_lay_there_before_are_not_taken_for_the_models(
    store, tmp_path, few_documents
) -> None:
    (tmp_path / "text.py").write_text(TEXT)
    few = replace(QUICK, minimal=False, pairs=8, evaluation_pairs=8)
    request = PruneRequest(*TASK, k=8, settings=few, name="same")
    own = carry_out(replace(request, means_over=str(tmp_path / "text.py")), store)
    assert means_for(store, own.circuit).hash == own.experiment.means.hash
    again = carry_out(request, store)
    assert again.path == own.path
    assert means_for(store, again.circuit).hash == open_means(store, "starter").hash
