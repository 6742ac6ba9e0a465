"""The text models are trained on: real Python source and generated programs, as tokens.

Real source is the running Python's standard library and, on request, installed packages. It is
split into training and held-out files by a hash of each file's path; generated programs are split
by their numbers in the series. Documents are separated by the end-of-text token.
"""

import hashlib
import json
import os
import sys
import sysconfig
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int, UInt16
from torch import Tensor

from circuit_sparsity import programs
from circuit_sparsity.core.tokenizer import Tokenizer, load_tokenizer
from circuit_sparsity.programs import generate_documents
from circuit_sparsity.store.json_files import set_aside
from circuit_sparsity.tasks import words
from circuit_sparsity.training.bpe import train_bpe, write_bpe
from circuit_sparsity.training.generation import generated_tokens
from circuit_sparsity.training.settings import CorpusSettings, TrainSettings

Tokens = UInt16[np.ndarray, " _token"]

# Tests, another language's grammar, and tables that are data in the dress of source.
_SKIPPED_PARTS = frozenset(
    (
        "test",
        "tests",
        "idlelib",
        "lib2to3",
        "site-packages",
        "turtledemo",
        "encodings",
        "pydoc_data",
    )
)
_N_BUCKETS = 1000


@dataclass(frozen=True)
class Corpus:
    """Training and held-out tokens, every document followed by the end-of-text token."""

    settings: CorpusSettings
    train_real: Tokens
    train_generated: Tokens
    heldout_real: Tokens
    heldout_generated: Tokens
    eot: int
    stats: Mapping[str, int | float]
    """Tokens of each part, bytes of text in each part, and bytes per token."""

    @property
    def train(self) -> Tokens:
        """The training tokens, real source first."""
        return np.concatenate([self.train_real, self.train_generated])


class Sampler:
    """Draws training windows from a corpus in the proportions its settings state."""

    def __init__(self, corpus: Corpus) -> None:
        self._settings = corpus.settings
        parts = (corpus.train_real, corpus.train_generated)
        self._parts = [torch.as_tensor(part.astype(np.int16)) for part in parts]
        self._starts = [torch.as_tensor(document_starts(part, corpus.eot)) for part in parts]

    def batch(
        self, generator: torch.Generator, batch: int, context: int
    ) -> tuple[Int[Tensor, "batch pos"], Int[Tensor, "batch pos"]]:
        """Tokens and the tokens that follow them, each `batch` windows of `context` positions.

        Raises ValueError when a part that windows are wanted from is shorter than one window.
        """
        share = self._settings.generated_share
        n_generated = int((torch.rand(batch, generator=generator) < share).sum())
        counts = (batch - n_generated, n_generated)
        drawn = [
            self._windows(part, starts, n, context + 1, generator)
            for part, starts, n in zip(self._parts, self._starts, counts, strict=True)
        ]
        windows = torch.cat(drawn).long()  # batch pos+1
        return windows[:, :-1].contiguous(), windows[:, 1:].contiguous()

    def _windows(
        self,
        part: Int[Tensor, " token"],
        documents: Int[Tensor, " document"],
        n: int,
        length: int,
        generator: torch.Generator,
    ) -> Int[Tensor, "window pos"]:
        if n == 0:
            return part.new_empty((0, length))
        last = len(part) - length
        if last < 0:
            raise ValueError(
                f"A window has {length} tokens, but one part of the corpus has only {len(part)}. "
                "Shorten the context, enlarge the corpus, or set generated_share to 0 or 1."
            )
        anywhere = torch.randint(last + 1, (n,), generator=generator)
        chosen = documents[torch.randint(len(documents), (n,), generator=generator)].clamp(max=last)
        aligned = torch.rand(n, generator=generator) < self._settings.aligned_share
        starts = torch.where(aligned, chosen, anywhere)
        return part[starts[:, None] + torch.arange(length)]


def build_corpus(
    settings: CorpusSettings, tokenizer: Tokenizer, folder: Path | str, processes: int = 2
) -> Corpus:
    """The corpus of these settings, read from `folder` when it was made there before.

    A new one is made with `processes` processes (their number changes nothing else) and kept in
    a file named after the settings, the tokenizer, the Python version and the generator's code.
    """
    if tokenizer.n_vocab > np.iinfo(np.int16).max:
        raise ValueError(
            f"Tokens are kept in 16 bits; a vocabulary of {tokenizer.n_vocab} is too large."
        )
    path = Path(folder) / f"corpus_{_key(settings, tokenizer)}.npz"
    if not path.exists():
        _make(settings, tokenizer, path, processes)
    try:
        return _read(settings, tokenizer, path)
    except _UNREADABLE:
        set_aside(path)  # it can be made again, and to the same tokens
        _make(settings, tokenizer, path, processes)
        return _read(settings, tokenizer, path)


# numpy checks the sums inside the archive; what they find, and what is no such archive.
_UNREADABLE = (zipfile.BadZipFile, zlib.error, ValueError, KeyError, TypeError, EOFError, OSError)


def _read(settings: CorpusSettings, tokenizer: Tokenizer, path: Path) -> Corpus:
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files}
    stats = json.loads(str(arrays.pop("stats")))
    return Corpus(settings=settings, eot=tokenizer.eot, stats=stats, **arrays)


def _make(settings: CorpusSettings, tokenizer: Tokenizer, path: Path, processes: int) -> None:
    parts: dict[str, Tokens] = {}
    n_bytes: dict[str, int] = {}
    for name, held_out in (("train_real", False), ("heldout_real", True)):
        parts[name], n_bytes[name] = _encode(real_documents(settings, held_out), tokenizer)
    for name, series, n in (
        ("train_generated", f"{settings.seed}/train", settings.generated_tokens),
        ("heldout_generated", f"{settings.seed}/heldout", settings.heldout_generated_tokens),
    ):
        parts[name], n_bytes[name] = generated_tokens(
            series, n, tokenizer, processes, settings.mixture
        )
    stats: dict[str, int | float] = {}
    for name, tokens in parts.items():
        stats[f"{name}_tokens"] = len(tokens)
        stats[f"{name}_bytes"] = n_bytes[name]
        stats[f"{name}_bytes_per_token"] = n_bytes[name] / max(1, len(tokens))
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.npz")
    np.savez(partial, allow_pickle=False, stats=np.array(json.dumps(stats)), **parts)
    partial.replace(path)


def real_documents(settings: CorpusSettings, held_out: bool) -> Iterator[str]:
    """Source files of the training or of the held-out split, in the order of their paths."""
    for relative, path in real_files(settings):
        if _is_held_out(relative, settings.heldout_share) != held_out:
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        if text.strip():
            yield text


def real_files(settings: CorpusSettings) -> list[tuple[str, Path]]:
    """Relative and full paths of the source files the settings ask for, in a fixed order."""
    library = _python_files(Path(sysconfig.get_path("stdlib")))
    if settings.package_bytes == 0:
        return library
    packages = _python_files(Path(sysconfig.get_path("purelib")))
    taken: list[tuple[str, Path]] = []
    size = 0
    # In order of a hash, so that a limit takes some files of every package.
    for relative, path in sorted(packages, key=lambda entry: _digest(entry[0])):
        size += path.stat().st_size
        if size > settings.package_bytes:
            break
        taken.append((f"packages/{relative}", path))
    return [*library, *sorted(taken)]


def _python_files(root: Path) -> list[tuple[str, Path]]:
    relatives = sorted(path.relative_to(root) for path in root.rglob("*.py"))
    return [(r.as_posix(), root / r) for r in relatives if not _SKIPPED_PARTS & set(r.parts[:-1])]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _is_held_out(relative: str, share: float) -> bool:
    return int(_digest(relative)[:12], 16) % _N_BUCKETS < share * _N_BUCKETS


def _encode(documents: Iterator[str], tokenizer: Tokenizer) -> tuple[Tokens, int]:
    """The tokens of the documents and the number of bytes they were."""
    ids: list[np.ndarray] = []
    n_bytes = 0
    for document in documents:
        n_bytes += len(document.encode())
        ids.append(np.array([*tokenizer.encode(document), tokenizer.eot], dtype=np.uint16))
    return np.concatenate(ids or [np.empty(0, dtype=np.uint16)]), n_bytes


def document_starts(tokens: Tokens, eot: int) -> Int[np.ndarray, " document"]:
    """The positions at which documents begin."""
    if not len(tokens):
        return np.empty(0, dtype=np.int64)
    return np.concatenate([[0], np.flatnonzero(tokens[:-1] == eot) + 1])


def _key(settings: CorpusSettings, tokenizer: Tokenizer) -> str:
    sources = sorted(Path(programs.__file__).parent.glob("*.py"))
    code = [path.read_text(encoding="utf-8") for path in [Path(words.__file__), *sources]]
    # Shares of windows do not change the tokens.
    kept = {
        k: v for k, v in asdict(settings).items() if k not in ("generated_share", "aligned_share")
    }
    identity = [kept, tokenizer.fingerprint, sys.version, code]
    return _digest(json.dumps(identity, sort_keys=True))[:16]


def tokenizer_documents(settings: CorpusSettings, generated: int = 15_000) -> Iterator[str]:
    """Documents to learn a tokenizer from: the real training files and `generated` programs."""
    yield from real_documents(settings, held_out=False)
    yield from generate_documents(f"{settings.seed}/train", generated)


def prepare(settings: TrainSettings, folder: Path) -> tuple[Tokenizer, Corpus]:
    """The tokenizer and corpus of a run, read from ``folder`` when they were made there before.

    Raises ValueError when the model's vocabulary is not the tokenizer's.
    """
    place = tokenizer_folder(settings, folder)
    if place.parent == folder and not (place / "encoder.json").exists():
        place.mkdir(parents=True, exist_ok=True)
        write_bpe(train_bpe(tokenizer_documents(settings.corpus)), place)
    tokenizer = load_tokenizer(place)
    if tokenizer.n_vocab != settings.model.vocab_size:
        raise ValueError(
            f"the tokenizer in {place} has {tokenizer.n_vocab} tokens, the model's vocab_size is "
            f"{settings.model.vocab_size}; make them equal"
        )
    return tokenizer, build_corpus(settings.corpus, tokenizer, folder / "corpus")


def tokenizer_folder(settings: TrainSettings, folder: Path) -> Path:
    """Where a run's tokenizer lies: in its own folder, or in that of the run it is taken from."""
    other = settings.tokenizer_of or settings.start_from
    return (folder if other is None else folder.parent / other) / "tokenizer"
