"""``Pair``: a sparse and a dense model with the bridges between them; which pairs are here."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from circuit_sparsity.bridges.bridge import Bridges, Site
from circuit_sparsity.bridges.files import (
    FILE,
    BridgeFileError,
    StoredBridges,
    read_bridges,
    read_description,
)
from circuit_sparsity.bridges.hybrids import hybrid_logits, residual_streams
from circuit_sparsity.bridges.released import read_released
from circuit_sparsity.core.model import GPT
from circuit_sparsity.core.tokenizer import Tokenizer
from circuit_sparsity.experiment.opening import open_model, open_tokenizer
from circuit_sparsity.store import Store, paths


@dataclass(frozen=True)
class PairName:
    """A pair whose bridges are on this machine."""

    sparse: str
    dense: str
    where: str  # shipped, cached or local, as the store says
    size: int  # bytes of the bridges


@dataclass(frozen=True, eq=False)
class Pair:
    """Two models of one tokenizer and their bridges, frozen: safe to share between threads."""

    sparse: GPT
    dense: GPT
    bridges: Bridges
    tokenizer: Tokenizer
    sparse_name: str = "sparse"
    dense_name: str = "dense"
    notes: tuple[str, ...] = ()  # what was understood of a file whose layout is not ours

    def __post_init__(self) -> None:
        self.bridges.check(self.sparse.config, self.dense.config)

    @property
    def context(self) -> int:
        """The longest text that both models read, in tokens."""
        return min(self.sparse.config.block_size, self.dense.config.block_size)

    @torch.no_grad()
    def read(self, tokens: Sequence[int], site: Site) -> "HybridReading":
        """A text read by both models, and by both hybrids that switch at ``site`` (sparse's name).

        Raises ValueError for no tokens, for more than both contexts, and where no bridge is.
        """
        if not 1 <= len(tokens) <= self.context:
            raise ValueError(
                f"the text has {len(tokens)} tokens; expected 1 to {self.context}, what both "
                "models read: cut it"
            )
        bridge = self.bridges.at_sparse(site)
        index = self.bridges.pairing.sparse.index(site)
        other = self.bridges.pairing.dense[index]
        batch = torch.tensor([list(tokens)])
        (of_sparse,), sparse = residual_streams(self.sparse, batch, [site])
        (of_dense,), dense = residual_streams(self.dense, batch, [other])
        into_sparse = hybrid_logits(self.sparse, batch, site, bridge.encode(of_dense))
        into_dense = hybrid_logits(self.dense, batch, other, bridge.decode(of_sparse))
        found = {
            "sparse": sparse,
            "dense": dense,
            "dense_to_sparse": into_sparse,
            "sparse_to_dense": into_dense,
        }
        return HybridReading(tuple(tokens), site, {name: x[0] for name, x in found.items()})


@dataclass(frozen=True, eq=False)
class HybridReading:
    """One text by four readers: ``sparse``, ``dense``, ``dense_to_sparse``, ``sparse_to_dense``."""

    tokens: tuple[int, ...]
    site: Site
    logits: dict[str, Float[Tensor, "pos vocab"]]  # of the token after each position

    @cached_property
    def losses(self) -> dict[str, Float[Tensor, " predicted"]]:
        """Cross-entropy of each token but the first, in nats per token, by reader."""
        following = torch.tensor(self.tokens[1:], dtype=torch.long)
        return {
            name: F.cross_entropy(x[:-1], following, reduction="none")
            for name, x in self.logits.items()
        }

    def next_tokens(self, position: int = -1, n: int = 10) -> dict[str, list[tuple[int, float]]]:
        """The ``n`` likeliest next tokens at a position and their probabilities, by reader."""
        found = {}
        for name, x in self.logits.items():
            best = x[position].softmax(dim=-1).topk(n)
            ids, chances = best.indices.tolist(), best.values.tolist()
            found[name] = list(zip(ids, chances, strict=True))
        return found

    def partings(self, one: str, other: str, n: int = 10) -> list[int]:
        """The positions of tokens whose losses under two readers differ most, the most first."""
        apart = (self.losses[one] - self.losses[other]).abs()
        order = apart.argsort(descending=True, stable=True)
        return [int(i) + 1 for i in order[:n]]


def pairs_here(store: Store) -> tuple[tuple[PairName, ...], tuple[str, ...]]:
    """The pairs on this machine, and a sentence for each file of bridges that cannot be read."""
    found, troubles = [], []
    for item in store.items():
        parts = item.name.split("/")
        here = item.where != "remote" and parts[0] == "models" and len(parts) == 3
        if here and parts[2] == paths.BRIDGES:
            place = "download" if item.size else "empty file"
            troubles.append(
                f"{item.name} ({place}): a file of the release does not say between which models; "
                f"name them: `python -m circuit_sparsity bridge-evaluate {parts[1]} DENSE`"
            )
        elif here and parts[2] == FILE:
            try:
                told = read_description(store.require(item.name))
                found.append(PairName(parts[1], told["dense"], item.where, item.size or 0))
            except BridgeFileError as error:
                troubles.append(str(error))
    return tuple(found), tuple(troubles)


def open_pair(store: Store, sparse: str, dense: str) -> Pair:
    """The pair of those two names, ready to be run.

    The bridges lie in the sparse model's folder. Raises ValueError when a model or bridges are not
    here, were trained for another dense model, read another tokenizer, or fit neither in shape.
    """
    one, other = (open_model(store, name, engine="dense") for name in (sparse, dense))
    tokenizer = shared_tokenizer(store, sparse, dense)
    folder = store.path_of_model(sparse)
    assert folder is not None, "a model that was opened has a folder"
    path, notes = folder / FILE, ()
    if not path.is_file() and (released := _released(store, sparse, dense)) is not None:
        understood = read_released(released, one.config, other.config)
        return Pair(one, other, understood.bridges, tokenizer, sparse, dense, understood.notes)
    stored = _stored(store, path, sparse, dense)
    if stored.tokenizer != tokenizer.fingerprint:
        raise ValueError(
            f"{path} was trained with the tokenizer {stored.tokenizer}; {sparse} and {dense} have "
            f"{tokenizer.fingerprint}: train the bridges again"
        )
    return Pair(one, other, stored.bridges, tokenizer, sparse, dense, notes)


def shared_tokenizer(store: Store, sparse: str, dense: str) -> Tokenizer:
    """The one tokenizer of two models; ValueError where they have two."""
    one, other = open_tokenizer(store, sparse), open_tokenizer(store, dense)
    if one.fingerprint != other.fingerprint:
        raise ValueError(
            f"{sparse} reads the tokenizer {one.fingerprint} ({one.n_vocab} tokens) and {dense} "
            f"{other.fingerprint} ({other.n_vocab}); bridges join models with one tokenizer"
        )
    return one


def _stored(store: Store, path: Path, sparse: str, dense: str) -> StoredBridges:
    if not path.is_file():
        known = ", ".join(f"{one.sparse} {one.dense}" for one in pairs_here(store)[0])
        raise BridgeFileError(
            f"no bridges between {sparse} and {dense} are here; there are: {known or 'none'}; "
            f"`python -m circuit_sparsity bridge-train {sparse} {dense}` trains some"
        )
    stored = read_bridges(path)
    if stored.dense != dense:
        raise BridgeFileError(
            f"{path} joins {sparse} to {stored.dense}, not to {dense}; name {stored.dense}, or "
            f"train bridges to {dense}"
        )
    return stored


def _released(store: Store, sparse: str, dense: str) -> Path | None:
    """A ``final_bridges.pt`` beside either model."""
    found = (store.find(paths.model_file(name, paths.BRIDGES)) for name in (sparse, dense))
    return next((path for path in found if path is not None), None)
