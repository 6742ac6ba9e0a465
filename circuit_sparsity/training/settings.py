"""What a training run is: every number that decides the model, in one frozen value."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from circuit_sparsity.core.model import GPTConfig
from circuit_sparsity.training.corpus import CorpusSettings


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
        return cls.from_dict(json.loads(path.read_text(encoding="utf-8")))

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
    values = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
    return cls(**values)
