"""Learn a byte-level BPE from documents and write it as `vocab.bpe` and `encoder.json`.

Documents are split by the release's pattern into pieces; each distinct piece is kept once with
its count, and a merge touches only the pieces that hold the pair.
"""

import heapq
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import regex

from circuit_sparsity.core.tokenizer import (
    BYTE_ORDER,
    CHARACTER_OF_BYTE,
    ENCODER_FILE,
    END_OF_TEXT,
    SPLIT_PATTERN,
    VOCAB_FILE,
)

RELEASE_RANKS = 2047

Merge = tuple[bytes, bytes]
Pair = tuple[int, int]


def train_bpe(documents: Iterable[str], n_ranks: int = RELEASE_RANKS) -> tuple[Merge, ...]:
    """The `n_ranks - 256` merges of a tokenizer of `n_ranks` tokens, in order of rank.

    Each merge joins the most frequent pair of neighbours; of equally frequent pairs, the one
    whose tokens have the smaller ids. The same documents give the same merges.

    Raises ValueError when the documents hold too few distinct pairs.
    """
    counts = count_pieces(documents)
    learner = _Learner(sorted(counts.items()))
    merges: list[Merge] = []
    while len(merges) < n_ranks - len(BYTE_ORDER):
        pair = learner.most_frequent()
        if pair is None:
            raise ValueError(
                f"The documents give {len(merges) + len(BYTE_ORDER)} tokens, {n_ranks} were asked "
                "for. Train on more text or ask for fewer."
            )
        if learner.join(pair):
            merges.append((learner.tokens[pair[0]], learner.tokens[pair[1]]))
    return tuple(merges)


def count_pieces(documents: Iterable[str]) -> Counter[bytes]:
    """How often each piece of the split pattern occurs in all documents together."""
    find = regex.compile(SPLIT_PATTERN).findall
    counts: Counter[str] = Counter()
    for document in documents:
        counts.update(find(document))
    return Counter({piece.encode(): count for piece, count in counts.items()})


def write_bpe(merges: Sequence[Merge], folder: Path | str) -> None:
    """Write `vocab.bpe` and `encoder.json` to `folder`, which is made when it is not there."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["#version: 0.2", *(f"{_written(a)} {_written(b)}" for a, b in merges)]
    (folder / VOCAB_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    tokens = [*(bytes([b]) for b in BYTE_ORDER), *(a + b for a, b in merges)]
    ids = {_written(token): rank for rank, token in enumerate(tokens)}
    ids[END_OF_TEXT] = len(ids)
    text = json.dumps(ids, ensure_ascii=False)
    (folder / ENCODER_FILE).write_text(text + "\n", encoding="utf-8", newline="\n")


def _written(token: bytes) -> str:
    return "".join(CHARACTER_OF_BYTE[b] for b in token)


class _Learner:
    """The pieces as sequences of token ids, with the counts of all pairs kept up to date."""

    def __init__(self, pieces: Sequence[tuple[bytes, int]]) -> None:
        id_of_byte = {b: rank for rank, b in enumerate(BYTE_ORDER)}
        self.tokens = [bytes([b]) for b in BYTE_ORDER]
        self.ids = {token: rank for rank, token in enumerate(self.tokens)}
        self.pieces = [[id_of_byte[b] for b in piece] for piece, _ in pieces]
        self.weights = [count for _, count in pieces]
        self.counts: dict[Pair, int] = defaultdict(int)
        self.where: dict[Pair, set[int]] = defaultdict(set)
        for index in range(len(self.pieces)):
            self._count(index, self.weights[index], set())
        self.heap = [(-count, pair) for pair, count in self.counts.items()]
        heapq.heapify(self.heap)

    def most_frequent(self) -> Pair | None:
        """The pair to join next, None when no two tokens are neighbours any more."""
        while self.heap:
            count, pair = heapq.heappop(self.heap)
            current = self.counts[pair]
            if current == -count and current > 0:
                return pair
        return None

    def join(self, pair: Pair) -> bool:
        """Join `pair` everywhere; False when its bytes are a token already.

        The tokenizer joins neighbours by the bytes they make, so two ways to one token are one
        rank.
        """
        token = self.tokens[pair[0]] + self.tokens[pair[1]]
        is_new = token not in self.ids
        if is_new:
            self.ids[token] = len(self.tokens)
            self.tokens.append(token)
        changed: set[Pair] = set()
        for index in self.where.pop(pair):
            self._count(index, -self.weights[index], changed)
            self.pieces[index] = _joined(self.pieces[index], pair, self.ids[token])
            self._count(index, self.weights[index], changed)
        for other in changed:
            if self.counts[other] > 0:
                heapq.heappush(self.heap, (-self.counts[other], other))
        return is_new

    def _count(self, index: int, weight: int, changed: set[Pair]) -> None:
        piece = self.pieces[index]
        for pair in zip(piece, piece[1:], strict=False):
            self.counts[pair] += weight
            self.where[pair].add(index)
            changed.add(pair)


def _joined(piece: list[int], pair: Pair, token: int) -> list[int]:
    """`piece` with every occurrence of `pair`, from the left, replaced by `token`."""
    out: list[int] = []
    i = 0
    while i < len(piece):
        if i + 1 < len(piece) and (piece[i], piece[i + 1]) == pair:
            out.append(token)
            i += 2
        else:
            out.append(piece[i])
            i += 1
    return out
