from collections import Counter

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from circuit_sparsity.core.tokenizer import BYTE_ORDER, SPLIT_PATTERN, load_tokenizer
from circuit_sparsity.programs import generate_documents
from circuit_sparsity.training.bpe import count_pieces, train_bpe, write_bpe


def textbook_merges(documents, n_merges):
    """Count every pair anew for each merge."""
    pieces = [p for d in documents for p in regex.findall(SPLIT_PATTERN, d)]
    sequences = [[bytes([b]) for b in piece.encode()] for piece in pieces]
    ids = {bytes([b]): i for i, b in enumerate(BYTE_ORDER)}
    merges = []
    while len(merges) < n_merges:
        counts = Counter(pair for s in sequences for pair in zip(s, s[1:], strict=False))
        a, b = min(counts, key=lambda pair: (-counts[pair], ids[pair[0]], ids[pair[1]]))
        if a + b not in ids:
            ids[a + b] = len(ids)
            merges.append((a, b))
        for s in sequences:
            i = 0
            while i < len(s) - 1:
                if (s[i], s[i + 1]) == (a, b):
                    s[i : i + 2] = [a + b]
                i += 1
    return tuple(merges)


def test_the_first_merge_is_the_most_frequent_pair():
    assert train_bpe(["banana bandana"], 257) == ((b"a", b"n"),)


def test_equally_frequent_pairs_are_joined_in_the_order_of_their_ids():
    assert train_bpe(["cd ab"], 259) == ((b"a", b"b"), (b"c", b"d"), (b" ", b"ab"))


def test_pieces_are_counted_over_all_documents():
    counts = count_pieces(["x = x", "x"])
    assert counts == {b"x": 2, b" =": 1, b" x": 1}


def test_merges_equal_those_of_counting_anew_each_time():
    documents = list(generate_documents(11, 6))
    assert train_bpe(documents, 256 + 150) == textbook_merges(documents, 150)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(alphabet="aab ", min_size=20), min_size=2, max_size=5))
def test_runs_of_one_letter_merge_as_in_the_textbook(documents):
    documents = [*documents, "aaaaaaa bbbbb aaabab"]
    assert train_bpe(documents, 260) == textbook_merges(documents, 4)


def test_the_same_documents_in_another_order_give_the_same_merges():
    documents = list(generate_documents(3, 60))
    assert train_bpe(documents, 700) == train_bpe(documents[::-1], 700)


def test_too_little_text_for_the_ranks_is_refused():
    with pytest.raises(ValueError, match="give 257 tokens, 2047 were asked for. Train on more"):
        train_bpe(["ab"])


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bpe")
    merges = train_bpe(generate_documents(0, 500))
    write_bpe(merges, folder / "new")
    return merges, load_tokenizer(folder / "new")


def test_a_learned_tokenizer_has_the_releases_size(learned):
    merges, tokenizer = learned
    assert len(merges) == 1791
    assert (tokenizer.n_vocab, tokenizer.eot) == (2048, 2047)


def test_written_files_load_with_every_merge_at_its_rank(learned):
    merges, tokenizer = learned
    for rank, (a, b) in enumerate(merges, start=256):
        assert tokenizer.token_bytes(rank) == a + b


def test_text_never_seen_comes_back_unchanged(learned):
    _, tokenizer = learned
    text = "Ωmega = {'π': 3.14159}\r\n\t# \N{GRINNING FACE} <|endoftext|>\n"
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_the_closers_the_bracket_task_asks_for_are_single_tokens(learned):
    _, tokenizer = learned
    for text in ("]\n", "]]\n", "')\n", '")\n', " =[", " =[["):
        assert len(tokenizer.encode(text)) == 1
