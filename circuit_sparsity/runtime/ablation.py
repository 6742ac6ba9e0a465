"""Run a model with only some of its nodes alive: everything else is held at its mean."""

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuit_sparsity.circuits.means import Means
from circuit_sparsity.core.hooks import Hook, chain, no_hook, with_names
from circuit_sparsity.core.model import GPT
from circuit_sparsity.core.names import Location


def mean_fill(alive: Mapping[Location, Bool[Tensor, " width"]], means: Means) -> Hook:
    """A hook that keeps alive channels and puts the mean in the others, at every location given.

    It acts on what the model hooks: the tensor after that location's top-k. Locations that
    ``alive`` does not name run as they are.
    """
    named = {str(location): (mask, means.values[location]) for location, mask in alive.items()}

    def hook(name: str, x: Tensor) -> Tensor:
        if name not in named:
            return x
        mask, mean = named[name]
        return torch.where(mask.to(x.device), x, mean.to(x))

    return with_names(hook, named)


def answer_logits(
    model: GPT,
    tokens: Int[Tensor, "prompt pos"],
    last: Int[Tensor, " prompt"],
    hook: Hook = no_hook,
    alive: Mapping[Location, Bool[Tensor, " width"]] | None = None,
    means: Means | None = None,
) -> Float[Tensor, "prompt vocab"]:
    """Next-token logits at each prompt's last token, under mean fill where ``alive`` is given.

    ``hook`` sees the tensors after the fill.
    """
    if alive is not None:
        if means is None:
            raise ValueError("a mask without reference means: give both")
        hook = chain(mean_fill(alive, means), hook)
    residual, _ = model.residual(tokens, hook)
    rows = torch.arange(len(tokens), device=tokens.device)
    return model.unembed(residual[rows, last], tokens[rows, last])
