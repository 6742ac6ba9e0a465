"""What a training run is: every number that decides the model, in one frozen value."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from circuit_sparsity.core.model import GPTConfig
from circuit_sparsity.programs import FAMILIES, Mixture
from circuit_sparsity.programs.writer import LIST_NAMES
from circuit_sparsity.store.json_files import read_json_object


@dataclass(frozen=True)
class CorpusSettings:
    """What the corpus is made of. The same settings on one Python give the same tokens."""

    generated_tokens: int = 20_000_000
    """Training tokens of generated programs, at least; the last program is kept whole."""
    heldout_generated_tokens: int = 200_000
    """Held-out tokens of generated programs, at least."""
    generated_share: float = 0.6
    """Share of training windows that are cut from generated programs, 0 to 1."""
    aligned_share: float = 0.25
    """Share of training windows that begin where a document begins, 0 to 1."""
    heldout_share: float = 0.03
    """Share of the real source files that are held out, 0 to 1."""
    list_names: float = LIST_NAMES
    """Share of the lists in generated programs whose elements are names, 0 to 1."""
    family_shares: Mapping[str, float] = field(default_factory=dict[str, float])
    """Weight of families of generated templates, where not the usual one (see `FAMILIES`)."""
    package_bytes: int = 0
    """Bytes of source taken from installed packages, at most; 0 is the standard library alone."""
    seed: int = 0
    """Which series of generated programs."""

    def __post_init__(self) -> None:
        for name in ("generated_share", "aligned_share", "heldout_share", "list_names"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(
                    f"{name} is a share, from 0 to 1; got {getattr(self, name)}. Give a fraction."
                )
        unknown = sorted(set(self.family_shares) - set(FAMILIES))
        if unknown:
            raise ValueError(
                f"No family of templates is called {', '.join(unknown)}; "
                f"there are: {', '.join(FAMILIES)}."
            )
        for name in ("generated_tokens", "heldout_generated_tokens", "package_bytes"):
            if getattr(self, name) < 0:
                raise ValueError(
                    f"{name} counts, so it is not negative; got {getattr(self, name)}."
                )

    @property
    def mixture(self) -> Mixture:
        """What generated programs are made of."""
        return Mixture(self.list_names, self.family_shares)


@dataclass(frozen=True)
class TrainSettings:
    """A run, complete: the same settings give the same model on the same device."""

    name: str  # folder under models/
    model: GPTConfig  # its vocab_size is what the tokenizer has
    corpus: CorpusSettings
    steps: int = 2400  # optimiser steps
    batch: int = 32  # sequences a step
    context: int = 128  # tokens a sequence, at most the model's block_size
    learning_rate: float = 1.2e-2  # peak, before the sharkfin's factor
    warm_up: float = 0.01  # fraction of the steps
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 0.1  # large on purpose: gradients have root-mean-square 1
    weight_decay: float = 0.1  # decoupled, on matrices but the bigram table
    weight_density: float = 0.04  # final fraction of nonzero entries in linear maps
    embedding_density: float = 0.16  # the same in embeddings, unembedding and biases
    bigram_density: float = 1.0  # the same in the bigram table
    anneal: float = 0.5  # fraction of the steps over which L0 falls to its target
    at_least: int = 4  # weights kept for each neuron and attention channel
    stop_at: int | None = None  # end after so many steps, in the middle of the schedule
    start_from: str | None = None  # a run beside this one: its last weights and its tokenizer
    tokenizer_of: str | None = None  # a run beside this one: its tokenizer alone
    seed: int = 0
    evaluate_every: int = 200  # steps between lines of progress.json
    evaluate_tokens: int = 16_384  # of each held-out part
    checkpoint_every: int = 200  # steps

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "TrainSettings":
        """Settings from JSON values; an unknown key is a ValueError that names the known ones."""
        values = dict(raw)
        values["model"] = _closed(GPTConfig, values.get("model", {}))
        values["corpus"] = _closed(CorpusSettings, values.get("corpus", {}))
        return _closed(cls, values)

    @classmethod
    def read(cls, path: Path) -> "TrainSettings":
        """The settings in a JSON file; ValueError with the file's name for any other content."""
        raw = read_json_object(path, "the settings of a training run")
        if raw is None:
            raise ValueError(f"there is no file {path}; give one such as settings/starter.json")
        try:
            return cls.from_dict(raw)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}: {error}") from error

    @property
    def last_step(self) -> int:
        """After how many steps the run ends."""
        return self.steps if self.stop_at is None else min(self.stop_at, self.steps)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def _closed(cls: type, values: Mapping[str, Any]) -> Any:
    known = [one.name for one in dataclasses.fields(cls)]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ValueError(
            f"{cls.__name__} has no setting {', '.join(unknown)}; it has: {', '.join(known)}"
        )
    values = {
        key: tuple(cast(list[Any], v)) if isinstance(v, list) else v for key, v in values.items()
    }
    return cls(**values)
