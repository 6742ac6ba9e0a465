import math
import sysconfig
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from circuit_sparsity.core.tokenizer import load_tokenizer
from circuit_sparsity.programs import generate_documents
from circuit_sparsity.training import corpus as corpus_module
from circuit_sparsity.training.bpe import train_bpe, write_bpe
from circuit_sparsity.training.corpus import (
    CorpusSettings,
    Sampler,
    build_corpus,
    document_starts,
    real_documents,
    real_files,
)
from circuit_sparsity.training.generation import generated_tokens
from circuit_sparsity.training.publication import bigram_loss

SMALL = CorpusSettings(generated_tokens=20_000, heldout_generated_tokens=3_000, heldout_share=0.4)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    write_bpe(train_bpe(generate_documents(0, 200), 600), folder)
    return load_tokenizer(folder)


def make_library(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Eight modules that stand for the standard library, and one package."""
    for number in range(8):
        file = root / f"module_{number}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"def f_{number}(x):\n    return x + {number}\n" * 40)
    for skipped in ("test/test_a.py", "idlelib/run.py", "site-packages/p/a.py"):
        (root / skipped).parent.mkdir(parents=True)
        (root / skipped).write_text("skipped = True\n")
    (root / "latin.py").write_bytes("# caf\u00e9\n".encode("latin-1"))
    (root / "empty.py").write_text("\n")
    paths = {"stdlib": str(root), "purelib": str(root / "site-packages")}
    monkeypatch.setattr(corpus_module.sysconfig, "get_path", paths.__getitem__)
    return root


@pytest.fixture
def library(tmp_path, monkeypatch) -> Path:
    return make_library(tmp_path / "lib", monkeypatch)


@pytest.fixture(scope="module")
def corpus(tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    with pytest.MonkeyPatch.context() as monkeypatch:
        make_library(folder / "lib", monkeypatch)
        return build_corpus(SMALL, tokenizer, folder / "cache", processes=1)


def documents_of(tokens, tokenizer):
    return tokenizer.decode(tokens.tolist()).split("<|endoftext|>")[:-1]


def test_every_usable_source_file_is_in_exactly_one_split(library):
    train, held_out = (list(real_documents(SMALL, side)) for side in (False, True))
    expected = [(library / f"module_{n}.py").read_text() for n in range(8)]
    assert sorted([*train, *held_out]) == sorted(expected)
    assert train
    assert held_out


def test_a_file_stays_in_its_split_when_others_come(library):
    before = set(real_documents(SMALL, True))
    (library / "another.py").write_text("another = 1\n")
    assert before <= set(real_documents(SMALL, True))


def test_packages_are_taken_up_to_their_limit(library):
    assert not [r for r, _ in real_files(SMALL) if r.startswith("packages")]
    assert [r for r, _ in real_files(replace(SMALL, package_bytes=15))][-1:] == ["packages/p/a.py"]
    assert not [r for r, _ in real_files(replace(SMALL, package_bytes=14)) if "packages" in r]


def test_the_standard_library_has_no_tests_and_splits_near_the_asked_share():
    settings = CorpusSettings()
    names = [name for name, _ in real_files(settings)]
    assert "argparse.py" in names
    assert "json/decoder.py" in names
    assert not [n for n in names if n.startswith(("test/", "idlelib/", "lib2to3/", "encodings/"))]
    held_out = [n for n in names if corpus_module._is_held_out(n, settings.heldout_share)]
    assert 0.01 < len(held_out) / len(names) < 0.06
    assert Path(sysconfig.get_path("stdlib"), names[0]).exists()


def test_real_tokens_decode_to_the_source_files(corpus, library, tokenizer):
    assert documents_of(corpus.train_real, tokenizer) == list(real_documents(SMALL, False))
    assert documents_of(corpus.heldout_real, tokenizer) == list(real_documents(SMALL, True))


def test_generated_parts_are_the_beginnings_of_two_series(corpus, tokenizer):
    train = documents_of(corpus.train_generated, tokenizer)
    held_out = documents_of(corpus.heldout_generated, tokenizer)
    assert train == list(generate_documents("0/train", len(train)))
    assert held_out == list(generate_documents("0/heldout", len(held_out)))
    assert not set(train) & set(held_out)


def test_generated_parts_end_with_the_document_that_fills_them(corpus):
    for tokens, wanted in (
        (corpus.train_generated, SMALL.generated_tokens),
        (corpus.heldout_generated, SMALL.heldout_generated_tokens),
    ):
        assert tokens[-1] == corpus.eot
        last = document_starts(tokens, corpus.eot)[-1]
        assert last < wanted <= len(tokens)


def test_stats_count_tokens_and_bytes_of_each_part(corpus, tokenizer):
    text = "".join(documents_of(corpus.train_generated, tokenizer))
    assert corpus.stats["train_generated_tokens"] == len(corpus.train_generated)
    assert corpus.stats["train_generated_bytes"] == len(text.encode())
    ratio = corpus.stats["train_generated_bytes_per_token"]
    assert ratio == pytest.approx(len(text) / len(corpus.train_generated))


def test_train_is_real_then_generated(corpus):
    both = np.concatenate([corpus.train_real, corpus.train_generated])
    assert np.array_equal(corpus.train, both)
    assert corpus.train.dtype == np.uint16


def test_the_number_of_processes_does_not_change_the_tokens(tokenizer):
    one, n_bytes = generated_tokens("s", 45_000, tokenizer, processes=1)
    two, same_bytes = generated_tokens("s", 45_000, tokenizer, processes=2)
    assert np.array_equal(one, two)
    assert n_bytes == same_bytes


def test_a_second_build_reads_the_file_of_the_first(library, tokenizer, tmp_path, monkeypatch):
    settings = replace(SMALL, generated_tokens=0)
    first = build_corpus(settings, tokenizer, tmp_path / "cache", processes=1)
    monkeypatch.setattr(corpus_module, "_make", None)
    second = build_corpus(settings, tokenizer, tmp_path / "cache", processes=1)
    assert np.array_equal(first.train, second.train)
    assert first.stats == second.stats
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_window_shares_share_one_file_and_other_settings_do_not(library, tokenizer, tmp_path):
    folder = tmp_path / "cache"
    real = replace(SMALL, generated_tokens=0, heldout_generated_tokens=0)
    for settings in (real, replace(real, generated_share=0.1), replace(real, seed=1)):
        build_corpus(settings, tokenizer, folder, processes=1)
    assert len(list(folder.iterdir())) == 2


def test_documents_begin_after_each_end():
    tokens = np.array([5, 6, 9, 7, 9, 9, 8, 9], dtype=np.uint16)
    assert document_starts(tokens, 9).tolist() == [0, 3, 5, 6]
    assert document_starts(tokens[:0], 9).tolist() == []


def test_targets_are_the_tokens_one_place_on(corpus):
    tokens, targets = Sampler(corpus).batch(torch.Generator().manual_seed(0), 12, 20)
    assert tokens.shape == targets.shape == (12, 20)
    assert tokens.dtype == targets.dtype == torch.int64
    assert torch.equal(tokens[:, 1:], targets[:, :-1])
    everything = corpus.train.astype(np.int64)
    windows = {tuple(w) for w in np.lib.stride_tricks.sliding_window_view(everything, 21).tolist()}
    for row, target in zip(tokens.tolist(), targets.tolist(), strict=True):
        assert (*row, target[-1]) in windows


def test_the_same_generator_state_draws_the_same_batch(corpus):
    sampler = Sampler(corpus)
    a, b = (sampler.batch(torch.Generator().manual_seed(7), 8, 16)[0] for _ in range(2))
    assert torch.equal(a, b)
    assert not torch.equal(a, sampler.batch(torch.Generator().manual_seed(8), 8, 16)[0])


def test_windows_come_from_the_parts_in_the_asked_proportion(corpus):
    marked = replace(
        corpus,
        settings=replace(SMALL, generated_share=0.7),
        train_real=np.zeros(100, dtype=np.uint16),
        train_generated=np.ones(100, dtype=np.uint16),
    )
    tokens, _ = Sampler(marked).batch(torch.Generator().manual_seed(0), 4000, 4)
    assert float(tokens[:, 0].float().mean()) == pytest.approx(0.7, abs=0.03)


def test_aligned_windows_begin_with_a_document(corpus):
    aligned = replace(corpus, settings=replace(SMALL, aligned_share=1.0, generated_share=1.0))
    tokens, _ = Sampler(aligned).batch(torch.Generator().manual_seed(0), 50, 8)
    part = corpus.train_generated
    starts = document_starts(part, corpus.eot)
    beginnings = {tuple(part[s : s + 8].tolist()) for s in starts}
    assert {tuple(row) for row in tokens.tolist()} <= beginnings


def test_a_window_longer_than_a_part_is_refused(corpus):
    with pytest.raises(ValueError, match="A window has 1000001 tokens, but one part .* has only"):
        Sampler(corpus).batch(torch.Generator().manual_seed(0), 4, 1_000_000)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("generated_share", 60.0, "generated_share is a share, from 0 to 1; got 60.0"),
        ("heldout_share", -0.1, "heldout_share is a share, from 0 to 1; got -0.1"),
        ("generated_tokens", -5, "generated_tokens counts, so it is not negative; got -5"),
    ],
)
def test_settings_out_of_range_are_refused(name, value, message):
    with pytest.raises(ValueError, match=message):
        CorpusSettings(**{name: value})


def test_bigram_loss_agrees_with_a_calculation_by_hand():
    train = np.array([0, 1, 0, 1, 0, 2], dtype=np.uint16)  # 0->1 twice, 0->2 once, 1->0 twice
    heldout = np.array([0, 1, 0, 2], dtype=np.uint16)
    single = [4 / 9, 3 / 9, 2 / 9]
    after_0 = [(0 + 2 * single[0]) / 5, (2 + 2 * single[1]) / 5, (1 + 2 * single[2]) / 5]
    after_1_comes_0 = (2 + 1 * single[0]) / 3
    expected = -(math.log(after_0[1]) + math.log(after_1_comes_0) + math.log(after_0[2])) / 3
    assert bigram_loss(train, heldout, 3) == pytest.approx(expected)


def test_bigram_probabilities_sum_to_one_after_every_token():
    rng = np.random.default_rng(0)
    train = rng.integers(0, 5, 40).astype(np.uint16)
    for first in range(6):  # the last one never occurs in train
        pairs = [np.array([first, second], dtype=np.uint16) for second in range(6)]
        assert sum(math.exp(-bigram_loss(train, pair, 6)) for pair in pairs) == pytest.approx(1)


def test_pairs_are_counted_across_the_borders_of_long_texts(monkeypatch):
    tokens = np.random.default_rng(1).integers(0, 4, 1000).astype(np.uint16)
    whole = bigram_loss(tokens, tokens, 4)
    monkeypatch.setattr("circuit_sparsity.training.publication._CHUNK", 7)
    assert bigram_loss(tokens, tokens, 4) == pytest.approx(whole)


def test_a_bigram_of_one_token_is_refused():
    one = np.array([1], dtype=np.uint16)
    with pytest.raises(ValueError, match="two tokens: got 1 to train on and 1 held out"):
        bigram_loss(one, one, 4)
