"""The exported program against the masked full model: every configuration, random circuits."""

import runpy
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from circuit_sparsity.core.names import Node
from circuit_sparsity.experiment.experiment import Experiment
from circuit_sparsity.experiment.opening import open_circuit, open_tokenizer
from circuit_sparsity.export.investigation import Investigation
from circuit_sparsity.export.program import program
from circuit_sparsity.runtime.ablation import answer_logits
from circuit_sparsity.store import Store
from tests.export.fresh import answers
from tests.handmade import marked_model, sign_model
from tests.release.cases import CIRCUITS, open_experiment
from tests.runtime.random_circuits import (
    GOLDEN,
    Ties,
    golden_model,
    random_circuit,
    random_means,
    random_model,
    random_prompts,
)
from tests.runtime.test_compiled_parity import OPTIONS

RESIDUAL = {
    "a top-k on the residual stream": {
        "afrac": 0.5,
        "afrac_loctypes": "resid_post_attn,resid_post_mlp",
    }
}
EVERY_OPTION = OPTIONS | RESIDUAL
SHIPPED = [
    ("single_double_quote", "full", "k24_seed0_full"),
    ("single_double_quote", "prune", "k44_seed0"),
    ("single_double_quote", "prune", "k192_seed0"),
    ("bracket_counting", "full", "k49_seed0_full"),
    ("bracket_counting", "prune", "k256_seed0"),
]


@pytest.fixture
def ties(monkeypatch) -> Ties:
    watch = Ties()
    monkeypatch.setattr("circuit_sparsity.core.model.abs_top_k", watch)
    return watch


Answers = Callable[[Path, Sequence[Sequence[int]]], list[dict[int, float]]]


def here(path: Path, prompts: Sequence[Sequence[int]]) -> list[dict[int, float]]:
    """The same logits without a new interpreter, for cases that differ in arithmetic alone."""
    opened = runpy.run_path(str(path))
    made = opened["Program"](opened["SETTINGS"], opened["NODES"], opened["DATA"])
    tokens = [token for token, _ in opened["ANSWERS"]]
    return [dict(zip(tokens, made.logits(ids).tolist(), strict=True)) for ids in prompts]


def check(
    opened: Experiment, folder: Path, ties: Ties | None, say: Answers = answers, tokenizer=None
) -> int:
    """Both say the same logits, but on prompts where rounding decides a top-k; their number."""
    path = folder / "circuit.py"
    found = Investigation(opened, tokenizer)
    path.write_text(program(found).text, encoding="utf-8")
    if ties is not None:
        ties.forget()
    batch = opened.batch
    logits = answer_logits(
        opened.model, batch.tokens, batch.last, alive=opened.alive, means=opened.means
    )
    rows = zip(batch.tokens.tolist(), batch.last.tolist(), strict=True)
    told = say(path, [tokens[: last + 1] for tokens, last in rows])
    got = torch.tensor([[row[token] for token in found.answers] for row in told])
    apart = (got - logits[:, list(found.answers)]).abs().amax(dim=1)
    if ties is not None and ties.near is not None:
        apart = apart[~ties.near]
    assert apart.numel() == 0 or float(apart.max()) <= 1e-4
    return len(apart)


def experiment(model, share: float) -> Experiment:
    return Experiment(
        random_circuit(model, share), model, random_means(model), random_prompts(model)
    )


@pytest.mark.parametrize("share", [0.1, 0.5])
@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_circuits_of_the_reference_models_print_what_the_masked_model_says(
    path, share, ties, tmp_path
):
    assert check(experiment(golden_model(path), share), tmp_path, ties) >= 3


@pytest.mark.parametrize("options", EVERY_OPTION.values(), ids=EVERY_OPTION)
def test_every_option_prints_what_the_masked_model_says(options, ties, tmp_path):
    assert check(experiment(random_model(**options), 0.3), tmp_path, ties, here) >= 3


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_empty_and_full_circuits_print_what_the_masked_model_says(share, ties, tmp_path):
    options = OPTIONS["positions and sink with a top-k"]
    assert check(experiment(random_model(**options), share), tmp_path, ties, here) >= 3


@pytest.mark.parametrize("names", SHIPPED, ids="-".join)
def test_shipped_circuits_print_what_the_masked_model_says(names, tmp_path):
    opened = open_circuit("starter", *names)
    few = Experiment(opened.circuit, opened.model, opened.means, opened.batch.select(range(8)))
    tokenizer = open_tokenizer(Store.from_environment(), "starter")
    assert check(few, tmp_path, None, answers, tokenizer) == 16


@pytest.mark.parametrize("name", CIRCUITS)
def test_circuits_in_the_released_layout_print_what_the_masked_model_says(
    release_fixture, name, ties, tmp_path
):
    assert check(open_experiment(release_fixture, name), tmp_path, ties, here) >= 4


def test_the_margins_are_those_worked_out_by_hand(tmp_path):
    for made in (sign_model(), marked_model(), marked_model(sink=True)):
        opened = Experiment(made.circuit, made.model, made.means, made.batch)
        path = tmp_path / "circuit.py"
        path.write_text(program(Investigation(opened)).text, encoding="utf-8")
        batch = made.batch
        rows = zip(batch.tokens.tolist(), batch.last.tolist(), strict=True)
        told = answers(path, [tokens[: last + 1] for tokens, last in rows])
        pairs = zip(told, batch.right.tolist(), batch.wrong.tolist(), strict=True)
        margins = [row[right] - row[wrong] for row, right, wrong in pairs]
        assert margins == pytest.approx([4.0] * 4, abs=1e-3)


def test_without_ids_it_runs_its_examples_and_says_how_far_it_is(tmp_path):
    opened = open_circuit("starter", *SHIPPED[0])
    path = tmp_path / "circuit.py"
    tokenizer = open_tokenizer(Store.from_environment(), "starter")
    text = program(Investigation(opened, tokenizer)).text
    path.write_text(text, encoding="utf-8")
    assert run(path).returncode == 0
    assert "furthest from what was exported: " in run(path).stdout
    path.write_text(text.replace("'sink': True", "'sink': False"), encoding="utf-8")
    assert run(path).returncode == 1


@pytest.mark.parametrize("ids", [["x"], ["-1"], ["2048"], ["1"] * 129])
def test_what_is_no_prompt_is_refused_in_one_line(ids, shipped_program):
    done = run(shipped_program, *ids)
    assert done.returncode == 2
    assert done.stderr == "expected 1 to 128 token ids from 0 to 2047\n"


def test_texts_cannot_become_code(tmp_path):
    made = sign_model()
    opened = Experiment(
        made.circuit, made.model, made.means, made.batch, "x\n!\u202e\r\x00'''\"\"\""
    )
    hostile = '"""\n!!\n\\' + "'''"
    path = tmp_path / "circuit.py"
    path.write_text(
        program(Investigation(opened, labels={hostile: hostile})).text, encoding="utf-8"
    )
    assert run(path).returncode == 0


def test_thresholds_cost_numbers_only_under_a_top_k():
    plain, cut = (
        program(Investigation(experiment(random_model(**options), 0.3))).counts
        for options in ({}, OPTIONS["neurons alone cut"])
    )
    assert plain.thresholds == 0
    assert cut.thresholds > 0
    assert plain.vocabulary == cut.vocabulary


def test_the_counts_are_those_of_the_numbers_that_are_not_zero():
    """By hand, of a model that has next to none."""
    made = sign_model()
    opened = Experiment(made.circuit, made.model, made.means, made.batch)
    counts = program(Investigation(opened)).counts
    assert counts.vocabulary == 2  # tokens 1 and 2 in channel 0
    # Weights .7 and 6, the constant -3, two unembedding entries, and 2 + 2 + 2 gains.
    assert counts.own == 1 + 1 + 1 + 2 + 6
    assert opened.circuit.keeps(Node.parse("0.mlp.post_act:0"))


@pytest.fixture(scope="module")
def shipped_program(tmp_path_factory):
    opened = open_circuit("starter", *SHIPPED[0])
    path = tmp_path_factory.mktemp("program") / "circuit.py"
    path.write_text(program(Investigation(opened)).text, encoding="utf-8")
    return path


def run(path, *ids) -> subprocess.CompletedProcess:
    command = [sys.executable, "-I", str(path), *ids]
    return subprocess.run(command, capture_output=True, text=True, check=False)
