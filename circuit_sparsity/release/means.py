"""``mean_baseline_pretrain.pt``: what everything outside a circuit is held at."""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from circuit_sparsity.circuits.means import Means
from circuit_sparsity.core.names import Location
from circuit_sparsity.release.errors import Source
from circuit_sparsity.store.atomic import write_atomically

# The files also hold these, which are no places of a circuit and are never filled.
NOT_IN_CIRCUITS = (".resid_in", ".resid_mid", ".attn.y")


def read_means(path: str | Path) -> Means:
    """Reference means by location, float32; places that no circuit has are left out.

    Raises ReleaseError when the file is missing, damaged, or holds something else.
    """
    source = Source(
        Path(path),
        "reference means",
        "a mean_baseline_pretrain.pt: {location: mean of each channel}",
    )
    raw = source.load()
    source.require(raw, ["final_resid"])
    with source.section("a mean", "one vector of finite numbers for each location"):
        return Means(
            {
                Location.parse(name): _finite_vector(name, mean)
                for name, mean in raw.items()
                if not name.endswith(NOT_IN_CIRCUITS)
            }
        )


def _finite_vector(name: str, mean: Tensor) -> Float[Tensor, " width"]:
    if len(mean) * mean.element_size() > mean.untyped_storage().nbytes():
        raise ValueError(f"{name} says that it has {len(mean):,} channels, and fewer are stored")
    vector = mean.detach().float().reshape(len(mean))
    if not bool(vector.isfinite().all()):
        raise ValueError(f"{name} holds NaN or infinity")
    return vector


def write_means(means: Means, path: str | Path) -> Path:
    """Write ``means`` as a ``mean_baseline_pretrain.pt``; the file is whole or not there."""
    contents = {
        str(location): mean.detach().cpu().float().contiguous().clone()
        for location, mean in means.values.items()
    }
    return write_atomically(Path(path), lambda file: torch.save(contents, file))
