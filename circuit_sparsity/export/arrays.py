"""The numbers that a circuit needs to run on its own, in float32: those of the compiled circuit.

The arithmetic over them is the exported program's own (`runner`), an independent check.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.circuits.means import Means
from circuit_sparsity.core.model import GPT, TOP_K_PLACES, GPTConfig
from circuit_sparsity.core.names import FINAL_RESID, Location
from circuit_sparsity.runtime.compiled.fold import Folded
from circuit_sparsity.runtime.compiled.numbering import Numbering

Arrays = dict[str, np.ndarray]
_RESIDUAL_PLACES = ("resid_post_attn", "resid_post_mlp")


@dataclass(frozen=True)
class Counts:
    """How many numbers that are not zero a program holds, by what it needs them for."""

    own: int  # weights of kept nodes, means and constants, norms, the answers' unembedding
    vocabulary: int  # embedding and positions: every norm looks at every residual channel
    thresholds: int  # channels that are not kept and compete in an activation top-k

    @property
    def all(self) -> int:
        return self.own + self.vocabulary + self.thresholds


def settings_of(config: GPTConfig) -> dict[str, Any]:
    """What a program must know of the model's shape; plain values."""
    return {
        "layers": config.n_layer,
        "head_size": config.d_head,
        "context": config.block_size,
        "positions_concatenated": bool(config.d_pos_emb),
        "layer_norm": not config.rms_norm,
        "epsilon": 1e-5 if not config.rms_norm else float(torch.finfo(torch.float32).eps),
        "activation": config.activation_type,
        "relu_on_residual": config.residual_activation_type == "relu",
        "sink": config.sink,
        "top_k": top_k_of(config),
    }


def top_k_of(config: GPTConfig) -> dict[str, int]:
    """How many entries survive at each place where an activation top-k cuts anything away."""
    widths: dict[str, int] = dict.fromkeys(TOP_K_PLACES, config.d_model)
    widths |= {"attn_in": config.d_read, "mlp_in": config.d_read, "mlp_neuron": config.d_mlp}
    widths |= dict.fromkeys(("attn_q", "attn_k", "attn_v"), config.d_attn)
    kept = {place: config.kept(place, width) for place, width in widths.items()}
    return {place: k for place, k in kept.items() if k is not None and k < widths[place]}


@torch.no_grad()
def fold(
    circuit: Circuit, model: GPT, means: Means, answers: Sequence[int]
) -> tuple[Arrays, Counts]:
    """The arrays of ``runner.Program`` for the logits of ``answers``, and how many they are.

    Channels are in ascending order within a location.
    """
    circuit.masks(model.config)  # speaks up when it is of another model
    means.check(model.config)
    ordered = {place: tuple(sorted(channels)) for place, channels in circuit.nodes.items()}
    numbering = Numbering(replace(circuit, nodes=ordered), model.config)
    folded = Folded(numbering, model, means)
    found = _vocabulary(model)
    vocabulary = _nonzero(found)
    thresholds = 0
    for layer in range(model.config.n_layer):
        for block in ("attn", "mlp"):
            part, spare = _block(folded, layer, block)
            found |= part
            thresholds += spare
    found |= _end(model, means, answers)
    found = {name: array.astype(np.float32) for name, array in found.items()}
    whole = _nonzero(found)
    return found, Counts(whole - vocabulary - thresholds, vocabulary, thresholds)


def kept_channels(circuit: Circuit, location: Location) -> list[int]:
    """The kept channels of a location in ascending order."""
    return sorted(circuit.nodes.get(location, ()))


def _vocabulary(model: GPT) -> Arrays:
    transformer = model.transformer
    return {
        "embedding": _numpy(transformer.wte.weight),
        "positions": _numpy(transformer.wpe.weight),
    }


def _block(folded: Folded, layer: int, block: str) -> tuple[Arrays, int]:
    """A block's arrays, and how many numbers in them serve only to compete in a top-k."""
    at, module, means = f"{layer}.{block}", folded.model.blocks[layer], folded.means.values
    ln, positions = ("ln_1", "ln_p1") if block == "attn" else ("ln_2", "ln_p2")
    found = _norm(at, getattr(module, ln))
    if folded.model.config.d_pos_emb:
        found |= _norm(f"{at}.positions", getattr(module, positions))
    thresholds = 0
    kinds = ("q", "k", "v") if block == "attn" else ("post_act",)
    for kind in (*kinds, "resid_delta"):
        part, spare = _behind(folded, Location(layer, block, kind))
        found |= part
        thresholds += spare
    filled = ("q", "k", "resid_delta") if block == "attn" else ("resid_delta",)
    found |= {f"{at}.{kind}.mean": _numpy(means[Location(layer, block, kind)]) for kind in filled}
    if block == "attn":
        found |= _heads(folded, layer)
    return found, thresholds


def _behind(folded: Folded, target: Location) -> tuple[Arrays, int]:
    """Rows from the kept channels of what feeds ``target``; what the others add is constant.

    All rows where a top-k lets those that are not kept compete, else the kept ones. What values
    that are not kept add goes through attention and is left to `_heads`.
    """
    kept, linear = list(folded.numbering.kept(target)), folded.into(target)
    competes = folded.top(target) >= 0
    rows = list(range(folded.model.config.width(target))) if competes else kept
    constant = linear.bias if linear.source.kind == "v" else linear.of_the_rest
    found = {
        f"{target}.weight": _numpy(linear.weights[rows]),
        f"{target}.constant": _numpy(constant[rows]),
    }
    spare = [row for row, channel in enumerate(rows) if channel not in set(kept)]
    return found, _nonzero({name: array[spare] for name, array in found.items()})


def _heads(folded: Folded, layer: int) -> Arrays:
    """The heads that matter, and what their values outside the circuit write, by head.

    Without a sink each token's attention adds up to 1, so that this is a constant, kept under the
    same name: a sink takes a part that depends on the prompt.
    """
    at, of_layer = f"{layer}.attn", folded.heads[layer]
    by_head = of_layer.rest_through_gates
    if of_layer.top < 0:
        by_head = by_head[list(of_layer.kept("resid_delta"))]
    size = folded.model.config.d_head
    used = {channel // size for channel in of_layer.kept("v")}
    heads = sorted(used | set(by_head.any(dim=0).nonzero()[:, 0].tolist()))
    found = {f"{at}.heads": np.array(heads), f"{at}.constant_values": _numpy(by_head[:, heads])}
    sink = of_layer.sink
    return found if sink is None else found | {f"{at}.sink": _numpy(sink[heads])}


def _end(model: GPT, means: Means, answers: Sequence[int]) -> Arrays:
    chosen, vocabulary = list(answers), model.config.vocab_size
    bigrams = np.zeros((vocabulary, len(chosen)))
    if model.config.enable_bigram_table:
        bigrams = _numpy(model.bigram_table[:, chosen])
    return {
        **_norm("end", model.transformer.ln_f),
        "final_resid.mean": _numpy(means.values[FINAL_RESID]),
        "unembedding": _numpy(model.lm_head.weight[chosen]),
        "logit_bias": _numpy(model.final_logits_bias[chosen]),
        "bigrams": bigrams,
    }


def _norm(at: str, norm: nn.Module) -> Arrays:
    parts = {"gain": norm.weight, "bias": getattr(norm, "bias", None)}
    return {f"{at}.{name}": _numpy(x) for name, x in parts.items() if isinstance(x, Tensor)}


def _numpy(x: Float[Tensor, "*shape"]) -> np.ndarray:
    return x.detach().cpu().numpy()


def _nonzero(arrays: Arrays) -> int:
    return sum(int(np.count_nonzero(array)) for array in arrays.values())
