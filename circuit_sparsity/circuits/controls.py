"""Random circuits to hold against a real one: what any nodes of that number would do."""

import dataclasses

import torch

from circuit_sparsity.circuits.circuit import Circuit, from_masks
from circuit_sparsity.model import GPTConfig
from circuit_sparsity.names import Location, circuit_locations


def random_nodes(
    config: GPTConfig, like: Circuit, seed: int, per_location: bool = False
) -> Circuit:
    """A circuit of as many nodes as ``like``, drawn from all nodes of the model.

    With ``per_location`` each location has as many as in ``like``; otherwise only the total is
    the same. The real nodes may be drawn like any other.
    """
    generator = torch.Generator().manual_seed(seed)
    places = circuit_locations(config.n_layer)
    widths = [config.width(place) for place in places]
    if per_location:
        masks = {
            place: _draw(width, len(like.nodes.get(place, ())), generator)
            for place, width in zip(places, widths, strict=True)
        }
    else:
        parts = _draw(sum(widths), like.size, generator).split(widths)
        masks = dict(zip(places, parts, strict=True))
    how = {"control": "per location" if per_location else "overall", "seed": seed}
    return dataclasses.replace(like, nodes=from_masks(masks), found=how)


def _draw(width: int, n: int, generator: torch.Generator) -> torch.Tensor:
    mask = torch.zeros(width, dtype=torch.bool)
    mask[torch.randperm(width, generator=generator)[:n]] = True
    return mask


def empty(config: GPTConfig) -> dict[Location, tuple[int, ...]]:
    """The ``nodes`` of a circuit that keeps nothing."""
    return dict.fromkeys(circuit_locations(config.n_layer), ())
