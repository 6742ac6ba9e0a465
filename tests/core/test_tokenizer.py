import json
from pathlib import Path

import pytest
import tiktoken.load
from hypothesis import given
from hypothesis import strategies as st

from circuit_sparsity.core.tokenizer import SPLIT_PATTERN, Tokenizer, load_tokenizer


@pytest.fixture(scope="module")
def tokenizer(release_fixture) -> Tokenizer:
    return load_tokenizer(release_fixture / "tinypython")


@pytest.fixture
def copy(release_fixture, tmp_path) -> Path:
    """A copy of the two files that a test may damage."""
    for name in ("vocab.bpe", "encoder.json"):
        (tmp_path / name).write_bytes((release_fixture / "tinypython" / name).read_bytes())
    return tmp_path


def test_the_release_has_2048_ids_and_the_last_ends_a_text(tokenizer):
    assert (tokenizer.n_vocab, tokenizer.eot) == (2048, 2047)
    assert tokenizer.token_bytes(2047) == b"<|endoftext|>"


def test_every_published_case_encodes_to_the_published_ids(release_fixture, tokenizer):
    cases = json.loads((release_fixture / "tokenizer_cases.json").read_text(encoding="utf-8"))
    assert cases["pattern"] == SPLIT_PATTERN
    assert cases["n_vocab"] == tokenizer.n_vocab
    for text, ids in cases["cases"]:
        assert tokenizer.encode(text) == ids
        assert tokenizer.decode(ids) == text


def test_ids_agree_with_tiktokens_own_reader_of_the_two_files(
    release_fixture, tokenizer, monkeypatch
):
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", "")
    ranks = tiktoken.load.data_gym_to_mergeable_bpe_ranks(
        str(release_fixture / "tinypython/vocab.bpe"),
        str(release_fixture / "tinypython/encoder.json"),
    )
    assert {tokenizer.token_bytes(i): i for i in range(2047)} == ranks


def test_the_first_256_ids_are_gpt2s_bytes(tokenizer):
    assert tokenizer.token_bytes(0) == b"!"
    assert tokenizer.token_bytes(93) == b"~"
    assert tokenizer.token_bytes(198) == b"\n"
    assert tokenizer.token_bytes(220) == b" "


def test_the_end_marker_inside_a_document_is_ordinary_text(tokenizer):
    ids = tokenizer.encode("a<|endoftext|>b")
    assert tokenizer.eot not in ids
    assert tokenizer.decode(ids) == "a<|endoftext|>b"


@given(text=st.text())
def test_decoding_undoes_encoding(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_half_a_character_decodes_to_the_replacement_character(tokenizer):
    first_byte_of_pi = tokenizer.encode("π")[0]
    assert tokenizer.decode([first_byte_of_pi]) == "\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize("token", [-1, 2048])
def test_an_id_outside_the_vocabulary_is_refused(tokenizer, token):
    with pytest.raises(ValueError, match=f"no token {token}: this tokenizer has ids 0 to 2047"):
        tokenizer.token_bytes(token)


def test_files_without_an_end_marker_get_it_after_the_last_token(copy, tokenizer):
    path = copy / "encoder.json"
    ids = json.loads(path.read_text(encoding="utf-8"))
    del ids["<|endoftext|>"]
    path.write_text(json.dumps(ids), encoding="utf-8")
    assert load_tokenizer(copy).eot == 2047
    assert load_tokenizer(copy).fingerprint == tokenizer.fingerprint


def test_a_changed_file_is_read_again(copy, tokenizer):
    """No copy under the same path is kept from an earlier read."""
    load_tokenizer(copy)
    merges = (copy / "vocab.bpe").read_text(encoding="utf-8").splitlines()
    (copy / "vocab.bpe").write_text("\n".join(merges[:-1]) + "\n", encoding="utf-8")
    ids = json.loads((copy / "encoder.json").read_text(encoding="utf-8"))
    kept = {token: i for token, i in ids.items() if i < 2046}
    (copy / "encoder.json").write_text(json.dumps(kept), encoding="utf-8")
    assert load_tokenizer(copy).n_vocab == 2047
    assert load_tokenizer(copy).fingerprint != tokenizer.fingerprint


@pytest.mark.parametrize("name", ["vocab.bpe", "encoder.json"])
def test_a_missing_file_is_named_with_what_to_do(copy, name):
    (copy / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"There is no {name} in .*fetch or copy both"):
        load_tokenizer(copy)


def test_a_cut_off_merge_file_contradicts_the_ids(copy):
    path = copy / "vocab.bpe"
    path.write_text("\n".join(path.read_text("utf-8").split("\n")[:900]), encoding="utf-8")
    with pytest.raises(ValueError, match="has id 2047, expected the one after the 1155 tokens"):
        load_tokenizer(copy)


def test_a_cut_off_id_file_is_no_json(copy):
    path = copy / "encoder.json"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"encoder\.json is not JSON .*fetch it again"):
        load_tokenizer(copy)


def test_ids_of_another_tokenizer_are_refused_by_name(copy):
    path = copy / "encoder.json"
    ids = json.loads(path.read_text("utf-8"))
    ids["wait"], ids["Ġsystem"] = ids["Ġsystem"], ids["wait"]
    path.write_text(json.dumps(ids), encoding="utf-8")
    with pytest.raises(ValueError, match="'wait' has id 2045 in the one and 2046 by the other"):
        load_tokenizer(copy)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("Ġ", "expected a merge of two tokens, got 'Ġ'"),
        ("Ġ Ġ", "'Ġ Ġ' is made twice"),
        ("zz zz", "'zz zz' joins a token not made before"),
        ("π Ġ", "'π' stands for no byte"),
    ],
)
def test_a_damaged_merge_is_named_with_its_line(copy, line, message):
    path = copy / "vocab.bpe"
    lines = path.read_text("utf-8").split("\n")
    path.write_text("\n".join([*lines[:5], line, *lines[5:]]), encoding="utf-8")
    with pytest.raises(ValueError, match=f"line 6: .*{message}.* fetch it again"):
        load_tokenizer(copy)


def test_a_merge_file_that_is_not_text_is_refused(copy):
    (copy / "vocab.bpe").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"vocab\.bpe is not UTF-8 text"):
        load_tokenizer(copy)
