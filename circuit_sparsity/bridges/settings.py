"""What a bridge training is: every number that decides the bridges, in one frozen value."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from circuit_sparsity.bridges.objective import Weights
from circuit_sparsity.training.corpus import CorpusSettings


@dataclass(frozen=True)
class BridgeSettings:
    """A run, complete: the same settings give the same bridges on the same device."""

    name: str  # folder under models/ of what comes out
    sparse: str  # the model that is trained with its bridges, or left as it is
    dense: str  # the model that is to be explained; never changed
    corpus: CorpusSettings
    joint: bool = True  # train the sparse model too, from its weights; else the bridges alone
    pairing: tuple[str, ...] = ()  # SPARSE=DENSE sites each; none: each to its own
    kept: float = 0.5  # share of the sparse residual stream that an encoder writes
    weights: Weights = field(default_factory=Weights)  # of the terms of the objective
    steps: int = 2000  # optimiser steps
    batch: int = 6  # sequences a step
    context: int = 128  # tokens a sequence, at most either model's block_size
    switches: int = 1  # sites at which each sequence of a step becomes a hybrid, each way
    learning_rate: float = 3e-3  # peak, of the sparse model
    bridge_learning_rate: float = 1e-3  # peak, of the bridges
    warm_up: float = 0.02  # fraction of the steps; then linearly to 0
    weight_decay: float = 0.1  # of the sparse model, as in its own training
    at_least: int = 4  # weights kept for each neuron and attention channel
    ridge_tokens: int = 65_536  # that the first bridges are solved from; 0: random ones
    ridge: float = 1e-5  # in units of the mean variance of what is regressed on
    start_from: str | None = None  # a run beside this one: its last weights; no ridge then
    stop_at: int | None = None  # end after so many steps, in the middle of the schedule
    seed: int = 0
    evaluate_every: int = 200  # steps between lines of progress
    evaluate_tokens: int = 8_192  # of held-out generated text
    checkpoint_every: int = 100  # steps

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "context", "switches", "evaluate_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; expected at least 1")
        if not 0 < self.kept <= 1:
            raise ValueError(f"kept is a share above 0, up to 1; got {self.kept}")

    @property
    def last_step(self) -> int:
        """After how many steps the run ends."""
        return self.steps if self.stop_at is None else min(self.stop_at, self.steps)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "BridgeSettings":
        """Settings from JSON values; an unknown key is a ValueError that names the known ones."""
        values = dict(raw)
        values["corpus"] = _closed(CorpusSettings, values.get("corpus", {}))
        values["weights"] = _closed(Weights, values.get("weights", {}))
        return _closed(cls, values)

    @classmethod
    def read(cls, path: Path) -> "BridgeSettings":
        return cls.from_dict(json.loads(path.read_text(encoding="utf-8")))

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
