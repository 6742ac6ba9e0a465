"""Text to token ids and back, from the two files a byte-level BPE is published in.

`vocab.bpe` lists the merges in order, `encoder.json` gives every token its id; they are GPT-2's
formats. The files are read here rather than by `tiktoken.load`, which copies what it reads to a
temporary folder under a name made from the path alone and serves that copy ever after, also when
the file has changed.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tiktoken

VOCAB_FILE = "vocab.bpe"
ENCODER_FILE = "encoder.json"
END_OF_TEXT = "<|endoftext|>"
SPLIT_PATTERN = (
    r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _byte_order() -> tuple[int, ...]:
    """The 256 bytes in the order of their token ids: printable ones first, then the rest."""
    printable = [b for b in range(256) if chr(b).isprintable() and chr(b) != " "]
    return (*printable, *(b for b in range(256) if b not in printable))


BYTE_ORDER = _byte_order()
# Each byte is written as one visible character: itself when printable, else 256, 257, ...
_N_PRINTABLE = sum(chr(b).isprintable() and chr(b) != " " for b in range(256))
CHARACTER_OF_BYTE = {
    b: chr(b) if i < _N_PRINTABLE else chr(256 + i - _N_PRINTABLE) for i, b in enumerate(BYTE_ORDER)
}
_BYTE_OF_CHARACTER = {character: b for b, character in CHARACTER_OF_BYTE.items()}


@dataclass(frozen=True)
class Tokenizer:
    """A byte-level BPE whose last id is the end-of-text token.

    `fingerprint` is the same for two tokenizers exactly when they have the same tokens and ids.
    """

    encoding: tiktoken.Encoding
    n_vocab: int
    eot: int
    fingerprint: str

    def encode(self, text: str) -> list[int]:
        """The ids of `text`; the characters `<|endoftext|>` in it are ordinary text."""
        return self.encoding.encode_ordinary(text)

    def decode(self, ids: list[int]) -> str:
        """The text of `ids`; bytes that are no UTF-8 become U+FFFD, the end is `<|endoftext|>`."""
        return b"".join(self.token_bytes(i) for i in ids).decode("utf-8", errors="replace")

    def token_bytes(self, token: int) -> bytes:
        """The bytes one id stands for.

        Raises ValueError for an id outside the vocabulary.
        """
        if not 0 <= token < self.n_vocab:
            raise ValueError(
                f"There is no token {token}: this tokenizer has ids 0 to {self.n_vocab - 1}."
            )
        return self.encoding.decode_single_token_bytes(token)


def load_tokenizer(folder: Path | str) -> Tokenizer:
    """The tokenizer stored in `folder` as `vocab.bpe` and `encoder.json`.

    Raises FileNotFoundError when one of the two is missing, ValueError when one cannot be read or
    they contradict each other.
    """
    arguments = encoding_arguments(Path(folder), Path(folder).name)
    ranks, eot = arguments["mergeable_ranks"], arguments["explicit_n_vocab"] - 1
    digest = hashlib.sha256(b"\n".join(token.hex().encode() for token in ranks)).hexdigest()
    return Tokenizer(tiktoken.Encoding(**arguments), eot + 1, eot, fingerprint=digest[:16])


def encoding_arguments(folder: Path, name: str) -> dict[str, Any]:
    """The keyword arguments of ``tiktoken.Encoding`` for the tokenizer in `folder`.

    Raises as `load_tokenizer` does.
    """
    ranks = _ranks_of_merges(folder / VOCAB_FILE)
    _check_against_encoder(ranks, folder / ENCODER_FILE)
    return {
        "name": name,
        "pat_str": SPLIT_PATTERN,
        "mergeable_ranks": ranks,
        "special_tokens": {END_OF_TEXT: len(ranks)},
        "explicit_n_vocab": len(ranks) + 1,
    }


def _ranks_of_merges(path: Path) -> dict[bytes, int]:
    """Every token's bytes in the order of ids: the 256 bytes, then one token a merge."""
    tokens = [bytes([b]) for b in BYTE_ORDER]
    known = set(tokens)
    for number, line in enumerate(_read_text(path).split("\n"), start=1):
        if (number == 1 and line.startswith("#version")) or not line.strip():
            continue
        parts = [_bytes_of(part, path, number) for part in line.split()]
        if len(parts) != 2:
            raise ValueError(
                f"{path}, line {number}: expected a merge of two tokens, got {line!r}. {_AGAIN}"
            )
        merged = parts[0] + parts[1]
        if merged in known or not known.issuperset(parts):
            reason = "is made twice" if merged in known else "joins a token not made before"
            raise ValueError(f"{path}, line {number}: the merge {line!r} {reason}. {_AGAIN}")
        known.add(merged)
        tokens.append(merged)
    return {token: rank for rank, token in enumerate(tokens)}


def _check_against_encoder(ranks: dict[bytes, int], path: Path) -> None:
    """Raise ValueError unless `path` gives the same ids, with or without the end-of-text token."""
    try:
        stored = json.loads(_read_text(path))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON ({error}). {_AGAIN}") from error
    if not isinstance(stored, dict):
        raise ValueError(f"{path}: expected an object of ids, got a {type(stored).__name__}.")
    last = stored.pop(END_OF_TEXT, len(ranks))
    if last != len(ranks):
        raise ValueError(
            f"{path}: {END_OF_TEXT} has id {last!r}, expected the one after the "
            f"{len(ranks)} tokens of {VOCAB_FILE} beside it. Put a matching pair of files there."
        )
    expected = {"".join(CHARACTER_OF_BYTE[b] for b in t): rank for t, rank in ranks.items()}
    if stored != expected:
        odd = min(k for k in {*stored, *expected} if stored.get(k) != expected.get(k))
        raise ValueError(
            f"{path} and {VOCAB_FILE} beside it disagree: {len(stored)} ids against "
            f"{len(expected)} tokens; {odd!r} has id {stored.get(odd)} in the one and "
            f"{expected.get(odd)} by the other. Put a matching pair of files there."
        )


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"There is no {path.name} in {path.parent}. A tokenizer is the two files {VOCAB_FILE} "
            f"and {ENCODER_FILE}; fetch or copy both there."
        ) from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text ({error}). {_AGAIN}") from error


def _bytes_of(written: str, path: Path, number: int) -> bytes:
    try:
        return bytes(_BYTE_OF_CHARACTER[character] for character in written)
    except KeyError as error:
        raise ValueError(
            f"{path}, line {number}: {error.args[0]!r} stands for no byte. {_AGAIN}"
        ) from error


_AGAIN = "The file looks damaged; fetch it again."
