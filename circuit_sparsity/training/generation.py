"""Tokens of generated programs, made by several processes in one order."""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import count
from multiprocessing import get_context

import numpy as np
from jaxtyping import Int, UInt16

from circuit_sparsity.core.tokenizer import Tokenizer
from circuit_sparsity.programs import USUAL, Mixture, generate_documents

_CHUNK = 200  # documents a process makes at a time

Tokens = UInt16[np.ndarray, " _token"]
# The tokens of some documents, where each document ends in them, and each one's bytes of text.
Chunk = tuple[Tokens, Int[np.ndarray, " document"], Int[np.ndarray, " document"]]


def generated_tokens(
    series: str,
    n: int,
    tokenizer: Tokenizer,
    processes: int = 1,
    mixture: Mixture = USUAL,
) -> tuple[Tokens, int]:
    """At least `n` tokens of the programs of `series`, and the bytes of text they stand for.

    Programs come in the order of their numbers, whole, each followed by the end-of-text token;
    the number of processes does not change them.
    """
    if n == 0:
        return np.empty(0, dtype=np.uint16), 0
    make = partial(_chunk, series, tokenizer, mixture)
    if processes == 1:
        return _first(n, (make(index) for index in count()))
    # Not forked: a fork copies locks that this process's tensor threads may hold.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        return _first(n, _in_order(pool, make, 2 * processes))


def _in_order(
    pool: ProcessPoolExecutor, make: Callable[[int], Chunk], ahead: int
) -> Iterator[Chunk]:
    waiting = [pool.submit(make, index) for index in range(ahead)]
    for index in count(ahead):
        yield waiting.pop(0).result()
        waiting.append(pool.submit(make, index))


def _first(n: int, chunks: Iterator[Chunk]) -> tuple[Tokens, int]:
    """As many whole documents as it takes to have `n` tokens."""
    parts: list[Tokens] = []
    n_tokens = n_bytes = 0
    for tokens, ends, sizes in chunks:
        kept = min(int(np.searchsorted(ends, n - n_tokens)) + 1, len(ends))
        parts.append(tokens[: ends[kept - 1]])
        n_tokens += len(parts[-1])
        n_bytes += int(sizes[:kept].sum())
        if n_tokens >= n:
            break
    return np.concatenate(parts), n_bytes


def _chunk(series: str, tokenizer: Tokenizer, mixture: Mixture, index: int) -> Chunk:
    documents = list(generate_documents(series, _CHUNK, index * _CHUNK, mixture))
    encoded = [[*tokenizer.encode(document), tokenizer.eot] for document in documents]
    ends = np.cumsum([len(ids) for ids in encoded])
    tokens = np.fromiter((i for ids in encoded for i in ids), dtype=np.uint16, count=ends[-1])
    return tokens, ends, np.array([len(document.encode()) for document in documents])
