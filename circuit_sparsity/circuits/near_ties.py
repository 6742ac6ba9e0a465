"""Where an activation top-k was decided by a hair: there, two machines may keep different channels.

A value at the boundary is either kept or zero, and float rounding decides which; whoever compares
activations that were computed twice leaves those out.
"""

from collections.abc import Iterable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuit_sparsity.circuits.resumed import block_of
from circuit_sparsity.model import GPT
from circuit_sparsity.names import Location, Node

GAP = 1e-5  # between the last kept magnitude and the first dropped one, as a share of it
_PLACES = {"act_in": "in", "q": "q", "k": "k", "v": "v", "resid_delta": "out", "post_act": "neuron"}


def at_boundary(before: Float[Tensor, "*batch d"], kept: int) -> Bool[Tensor, "*batch d"]:
    """Which entries stand at a near-tie when only the ``kept`` largest magnitudes survive.

    >>> at_boundary(torch.tensor([3.0, -2.0, 2.000001, 1.0]), 2).tolist()
    [False, True, True, False]
    """
    size = before.abs()
    if not 0 < kept < size.shape[-1]:
        return torch.zeros_like(before, dtype=torch.bool)
    largest = size.topk(kept + 1, dim=-1).values
    last, first_dropped = largest[..., -2:-1], largest[..., -1:]
    tied = (last > 0) & (last - first_dropped <= GAP * last)
    return tied & ((size - last).abs() <= GAP * last)


class NearTies:
    """A hook that finds, during a run, which values of ``nodes`` stand at a near-tie.

    The model hands on what survives; what went into each top-k is computed again from the tensors
    before it. Put it after a mean fill, so that it sees what the model goes on with.
    """

    def __init__(self, model: GPT, nodes: Iterable[Node]) -> None:
        self.found: dict[Node, Bool[Tensor, "prompt pos"]] = {}
        self._model = model
        self._nodes: dict[str, list[Node]] = {}
        for node in nodes:
            if _kept(model, node.location) is not None:
                self._nodes.setdefault(str(node.location), []).append(node)
        self._seen: dict[str, Tensor] = {}  # the last tensor of each kind

    def __call__(self, name: str, x: Tensor) -> Tensor:
        nodes = self._nodes.get(name)
        if nodes:
            location = nodes[0].location
            kept = _kept(self._model, location)
            assert kept is not None
            tied = at_boundary(self._before(location), kept)
            self.found |= {node: tied[..., node.channel] for node in nodes}
        self._seen[name.rpartition(".")[2]] = x
        return x

    def _before(self, location: Location) -> Float[Tensor, "prompt pos d"]:
        """What went into the top-k of ``location``."""
        assert location.layer is not None
        block, kind = block_of(self._model, location.layer), location.kind
        if location.block == "mlp":
            if kind == "act_in":
                return self._read(self._seen["resid_mid"], block.ln_2, block, "ln_p2")
            if kind == "post_act":
                return block.mlp._activation(block.mlp.c_fc(self._seen["act_in"]))
            return block.mlp.c_proj(self._seen["post_act"])
        if kind == "act_in":
            return self._read(self._seen["resid_in"], block.ln_1, block, "ln_p1")
        if kind == "resid_delta":
            return block.attn.c_proj(self._seen["y"])
        parts = block.attn.c_attn(self._seen["act_in"]).chunk(3, dim=-1)
        return parts["qkv".index(kind)]

    def _read(
        self, x: Tensor, norm: torch.nn.Module, block: torch.nn.Module, of_positions: str
    ) -> Float[Tensor, "prompt pos d_read"]:
        if not self._model.config.d_pos_emb:
            return norm(x)
        positions = self._model.get_parameter("transformer.wpe.weight")[: x.shape[1]]
        beside = block.get_submodule(of_positions)(positions)
        return torch.cat((norm(x), beside.expand(len(x), -1, -1)), dim=-1)


def _kept(model: GPT, location: Location) -> int | None:
    if location.layer is None:
        return None
    place = f"{location.block}_{_PLACES[location.kind]}"
    return model.config.kept(place, model.config.width(location))
