"""Rows that vary, constants, and fixed competitors of a location behind a linear map."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from circuit_sparsity.kernels.circuit.tables import GELU, NO_CODE, RELU


@dataclass(frozen=True, eq=False)
class LocationRows:
    """What of one location has to be computed: sparse rows, the ones that compete first."""

    channels: Int[Tensor, " row"]  # the channel that each row is
    counted: int  # how many compete
    constant: Float[Tensor, " row"]
    weights: Float[Tensor, "row source"]
    sources: np.ndarray  # numbers of the sources
    fixed: Int[Tensor, " fixed"]  # channels that compete and do not vary

    def row_of(self, channels: tuple[int, ...]) -> np.ndarray:
        """The row of each of ``channels``."""
        row = {int(channel): i for i, channel in enumerate(self.channels)}
        return np.array([row[channel] for channel in channels], dtype=np.int64)


def select_rows(
    varies: Tensor, kept: tuple[int, ...], competes: bool
) -> tuple[Int[Tensor, " row"], int, Int[Tensor, " fixed"]]:
    """Channels to compute, how many of them compete, and those that compete unchanged.

    Without a top-k nothing competes, and only kept channels are computed.
    """
    if not competes:
        return torch.tensor(kept, dtype=torch.long), 0, torch.empty(0, dtype=torch.long)
    still = torch.tensor([c for c in kept if not varies[c]], dtype=torch.long)
    varying = varies.nonzero().flatten()
    return torch.cat((varying, still)), len(varying), (~varies).nonzero().flatten()


def linear_rows_of(
    weights: Float[Tensor, "width feeding"],
    constant: Float[Tensor, " width"],
    numbers: np.ndarray,
    kept: tuple[int, ...],
    competes: bool,
) -> LocationRows:
    """Rows over the excesses of feeding nodes, whose ``numbers`` are given.

    ``weights`` are those of all channels, and ``constant`` what they are at the means.
    """
    channels, counted, fixed = select_rows((weights != 0).any(dim=1), kept, competes)
    return LocationRows(channels, counted, constant[channels], weights[channels], numbers, fixed)


def activate(code: int, x: Tensor) -> Tensor:
    """The activation that ``code`` names."""
    return {NO_CODE: lambda x: x, GELU: F.gelu, RELU: F.relu}[code](x)


def window(
    fixed: Float[np.ndarray, "kind fixed"], top: int, counted: int
) -> Float[np.ndarray, "kind place"]:
    """Entry j is the (top + 1 - j)-th largest of the fixed magnitudes of each kind.

    There are ``counted + 2`` entries: as many ranks as the rows that vary can shift. Ranks before
    the first are infinite, ranks behind the last -1.
    """
    ordered = np.sort(fixed, axis=1)[:, ::-1]
    ranks = top + 1 - np.arange(counted + 2)  # counted from 1
    picked = np.full((len(fixed), len(ranks)), -1.0, dtype=np.float32)
    picked[:, ranks <= 0] = np.inf
    there = (ranks >= 1) & (ranks <= fixed.shape[1])
    picked[:, there] = ordered[:, ranks[there] - 1]
    return picked
