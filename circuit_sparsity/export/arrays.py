"""The numbers that a circuit needs to run on its own: folded from model and means, in float32."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.circuits.edges import bias_of, matrix_between
from circuit_sparsity.circuits.means import Means
from circuit_sparsity.core.model import GPT, TOP_K_PLACES, GPTConfig
from circuit_sparsity.core.names import FINAL_RESID, Location
from circuit_sparsity.runtime.compiled.masked_run import top_k_place

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
    found = _vocabulary(model)
    vocabulary = _nonzero(found)
    thresholds = 0
    for layer in range(model.config.n_layer):
        for block in ("attn", "mlp"):
            part, spare = _block(circuit, model, means, layer, block)
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


def _block(
    circuit: Circuit, model: GPT, means: Means, layer: int, block: str
) -> tuple[Arrays, int]:
    """A block's arrays, and how many numbers in them serve only to compete in a top-k."""
    at, module = f"{layer}.{block}", model.blocks[layer]
    ln, positions = ("ln_1", "ln_p1") if block == "attn" else ("ln_2", "ln_p2")
    found = _norm(at, getattr(module, ln))
    if model.config.d_pos_emb:
        found |= _norm(f"{at}.positions", getattr(module, positions))
    thresholds = 0
    for kind in ("q", "k", "v") if block == "attn" else ("post_act",):
        target = Location(layer, block, kind)
        part, spare = _behind(circuit, model, means, Location(layer, block, "act_in"), target)
        found |= part
        thresholds += spare
    source = Location(layer, block, "v" if block == "attn" else "post_act")
    write = Location(layer, block, "resid_delta")
    part, spare = _behind(circuit, model, means, source, write)
    found |= part | {f"{write}.mean": _numpy(means.values[write])}
    if block == "attn":
        found |= _heads(circuit, model, means, layer)
        found |= {f"{at}.{x}.mean": _numpy(means.values[Location(layer, "attn", x)]) for x in "qk"}
    return found, thresholds + spare


def _behind(
    circuit: Circuit, model: GPT, means: Means, source: Location, target: Location
) -> tuple[Arrays, int]:
    """Rows from the kept channels of ``source``; what the others add at their means is constant.

    All rows where a top-k lets those that are not kept compete, else the kept ones. What values
    that are not kept add goes through attention and is left to `_heads`.
    """
    kept, rows = kept_channels(circuit, target), kept_channels(circuit, target)
    if top_k_place(target) in top_k_of(model.config):
        rows = list(range(model.config.width(target)))
    matrix = matrix_between(model, source, target)
    columns = kept_channels(circuit, source)
    weight = matrix.select(torch.tensor(rows).long(), torch.tensor(columns).long()).dense()
    constant = torch.zeros(matrix.shape[0], dtype=torch.float64)
    bias = bias_of(model, target)
    if bias is not None:
        constant += bias.detach().double().cpu()
    if source.kind != "v":
        still = means.values[source].double().clone()
        still[columns] = 0
        entries = matrix.values.double() * still[matrix.columns.long()]
        constant.index_add_(0, matrix.row_indices(), entries)
    found = {f"{target}.weight": _numpy(weight), f"{target}.constant": _numpy(constant)[rows]}
    spare = [row for row, channel in enumerate(rows) if channel not in set(kept)]
    return found, _nonzero({name: array[spare] for name, array in found.items()})


def _heads(circuit: Circuit, model: GPT, means: Means, layer: int) -> Arrays:
    """The heads that matter, and what their values outside the circuit write, by head.

    Without a sink each token's attention adds up to 1, so that this is a constant, kept under the
    same name: a sink takes a part that depends on the prompt.
    """
    at, size = f"{layer}.attn", model.config.d_head
    source, target = Location(layer, "attn", "v"), Location(layer, "attn", "resid_delta")
    matrix, kept = matrix_between(model, source, target), kept_channels(circuit, source)
    still = means.values[source].double().clone()
    still[kept] = 0
    by_head = torch.zeros(matrix.shape[0], model.config.n_head, dtype=torch.float64)
    columns = matrix.columns.long()
    entries = matrix.values.double() * still[columns]
    by_head.index_put_((matrix.row_indices(), columns // size), entries, accumulate=True)
    if top_k_place(target) not in top_k_of(model.config):
        by_head = by_head[kept_channels(circuit, target)]
    used = {channel // size for channel in kept} | set(by_head.any(dim=0).nonzero()[:, 0].tolist())
    heads = sorted(used)
    found = {f"{at}.heads": np.array(heads), f"{at}.constant_values": _numpy(by_head)[:, heads]}
    sink = model.blocks[layer].attn.sink_logit
    return found if sink is None else found | {f"{at}.sink": _numpy(sink)[heads]}


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
