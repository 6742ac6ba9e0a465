"""How well the last token alone predicts the next: the loss any model should beat."""

import numpy as np
from jaxtyping import Int64, UInt16

_CHUNK = 1_000_000


def bigram_loss(
    train: UInt16[np.ndarray, " train"], heldout: UInt16[np.ndarray, " heldout"], n_vocab: int
) -> float:
    """Nats per token of `heldout` under a bigram model counted on `train`.

    Witten-Bell smoothing: p(b|a) = (n(ab) + t(a) p(b)) / (n(a) + t(a)), where t(a) is the number
    of different tokens seen after a, and p(b) = (n(b) + 1) / (n + n_vocab). A token never seen
    in `train` is thus followed by p(b). Pairs of one document's end and the next one's beginning
    count like any other.

    Raises ValueError when either text has no pair of tokens.
    """
    if len(train) < 2 or len(heldout) < 2:
        raise ValueError(
            f"A bigram needs two tokens: got {len(train)} to train on and {len(heldout)} held out."
        )
    pairs = _pair_counts(train, n_vocab)
    single = np.bincount(train, minlength=n_vocab)
    unigram = (single + 1) / (len(train) + n_vocab)
    first, second = heldout[:-1].astype(np.int64), heldout[1:].astype(np.int64)
    followed = pairs.sum(axis=1)[first]
    variety = (pairs > 0).sum(axis=1)[first]
    seen = np.where(followed > 0, pairs[first, second] + variety * unigram[second], unigram[second])
    return float(-np.log(seen / np.maximum(followed + variety, 1)).mean())


def _pair_counts(
    tokens: UInt16[np.ndarray, " token"], n_vocab: int
) -> Int64[np.ndarray, "first second"]:
    counts = np.zeros(n_vocab * n_vocab, dtype=np.int64)
    for start in range(0, len(tokens) - 1, _CHUNK):
        part = tokens[start : start + _CHUNK + 1].astype(np.int64)
        counts += np.bincount(part[:-1] * n_vocab + part[1:], minlength=n_vocab * n_vocab)
    return counts.reshape(n_vocab, n_vocab)
