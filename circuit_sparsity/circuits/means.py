"""Reference means: what everything outside a circuit is held at."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuit_sparsity.core.hooks import Recorder
from circuit_sparsity.core.model import GPT, GPTConfig
from circuit_sparsity.core.names import Location, circuit_locations


@dataclass(frozen=True)
class Means:
    """Mean activation of every channel at every location of a circuit, over a stated text."""

    values: Mapping[Location, Float[Tensor, " width"]]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", MappingProxyType(dict(sorted(self.values.items()))))

    @cached_property
    def hash(self) -> str:
        """SHA-256 over names and float32 values: two runs with one hash used the same means."""
        digest = hashlib.sha256()
        for location, mean in self.values.items():
            digest.update(str(location).encode())
            digest.update(mean.float().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def check(self, config: GPTConfig) -> "Means":
        """These means; ValueError when a location is missing or has another width."""
        for location in circuit_locations(config.n_layer):
            mean = self.values.get(location)
            if mean is None or mean.shape != (config.width(location),):
                got = "nothing" if mean is None else f"shape {tuple(mean.shape)}"
                raise ValueError(
                    f"reference means hold {got} at {location}; expected "
                    f"({config.width(location)},): they belong to another model"
                )
        return self


def zeros(config: GPTConfig) -> Means:
    """All-zero references: zero ablation in place of mean ablation."""
    return Means(
        {
            location: torch.zeros(config.width(location))
            for location in circuit_locations(config.n_layer)
        }
    )


@torch.no_grad()
def mean_activations(model: GPT, batches: Iterable[Int[Tensor, "_ pos"]]) -> Means:
    """Means over every token of ``batches``, each after its location's top-k.

    Raises ValueError when there is no batch.
    """
    places = circuit_locations(model.config.n_layer)
    sums = {place: torch.zeros(model.config.width(place), dtype=torch.float64) for place in places}
    count = 0
    for tokens in batches:
        recorder = Recorder()
        model.residual(tokens.to(model.device), recorder)
        count += tokens.numel()
        for place in places:
            sums[place] += recorder.tensors[str(place)].double().sum(dim=(0, 1)).cpu()
    if count == 0:
        raise ValueError("no text was given to take means over; give at least one batch of tokens")
    return Means({place: (total / count).float() for place, total in sums.items()})
