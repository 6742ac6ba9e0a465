"""Hybrids: one model up to a site, the other from there on.

Each is computed by the model that it ends in: at the site, rows that come from the other model
through a bridge join the batch. One pass thus computes a model's own run and all its hybrids.
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuit_sparsity.bridges.bridge import Site
from circuit_sparsity.core.model import GPT

Residual = Float[Tensor, "batch pos d_model"]


class Entering:
    """A hook that records a model's residual stream at sites and lets further rows in there.

    ``entering`` are the rows that join at each site; ``recorded`` are the rows that were there
    from the beginning, ``own`` in number.
    """

    def __init__(
        self, sites: Sequence[Site], own: int, entering: Mapping[Site, Residual] | None = None
    ) -> None:
        self.recorded: dict[Site, Residual] = {}
        self._own, self._entering = own, dict(entering or {})
        self._sites = {site.hook_name: site for site in sites}

    def __call__(self, name: str, x: Tensor) -> Tensor:
        site = self._sites.get(name)
        if site is None:
            return x
        self.recorded[site] = x[: self._own]
        joining = self._entering.get(site)
        return x if joining is None else torch.cat((x, joining))


def residual_streams(
    model: GPT, tokens: Int[Tensor, "batch pos"], sites: Sequence[Site]
) -> tuple[list[Residual], Float[Tensor, "batch pos vocab"]]:
    """The residual stream at each site, and the logits."""
    hook = Entering(sites, len(tokens))
    logits = model(tokens, hook=hook)[0]
    return [hook.recorded[site] for site in sites], logits


def hybrid_logits(
    model: GPT, tokens: Int[Tensor, "batch pos"], site: Site, entering: Residual
) -> Float[Tensor, "batch pos vocab"]:
    """Logits of ``model`` run from ``site`` on with ``entering`` as its residual stream."""
    hook = Entering([site], 0, {site: entering})
    final, _ = model.residual(tokens[:0], hook)
    return model.unembed(final, tokens)
