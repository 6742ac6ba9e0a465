"""Same reasons: whether a circuit answers the way its model does, inside.

A circuit may find the model's answers by another way: its heads may look elsewhere, its writes
may point elsewhere, because everything around them is held still.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from circuit_sparsity.core.attention import attention_pattern
from circuit_sparsity.core.hooks import Recorder, chain
from circuit_sparsity.core.names import Location
from circuit_sparsity.experiment.experiment import Experiment
from circuit_sparsity.runtime.ablation import mean_fill
from circuit_sparsity.runtime.prefix_cache import block_of

FAR = 0.5  # total variation from which a head looks at something else
STILL = 1e-6  # a standard deviation below which a write does not vary


@dataclass(frozen=True)
class HeadAgreement:
    """One head with a kept node, at the token where the answer is read."""

    layer: int
    head: int
    variation: float  # total variation of its two patterns, mean over prompts: 0 same, 1 disjoint


@dataclass(frozen=True)
class WriteAgreement:
    """The kept residual writes of one block, at the token where the answer is read."""

    block: str  # such as "2.mlp"
    nodes: int
    cosine: float | None  # of what varies over prompts, mean; None where nothing does


@dataclass(frozen=True)
class Reasons:
    """How far circuit and model agree inside, part by part."""

    heads: tuple[HeadAgreement, ...]
    writes: tuple[WriteAgreement, ...]

    @property
    def words(self) -> str:
        """A sentence that says which heads look at other tokens."""
        far = [one for one in self.heads if one.variation >= FAR]
        if not self.heads:
            return "The circuit keeps no head."
        if not far:
            return f"All {len(self.heads)} heads look where they look in the model."
        names = ", ".join(f"head {one.head} of layer {one.layer}" for one in far)
        return (
            f"{len(far)} of {len(self.heads)} heads look where they do not in the model: {names}."
        )


@torch.no_grad()
def reasons(experiment: Experiment, step: Callable[[], None] = lambda: None) -> Reasons:
    """Attention patterns and residual writes of the circuit against the whole model's.

    ``step`` is called before each of the two runs.
    """
    runs: list[dict[str, Tensor]] = []
    fill = mean_fill(experiment.alive, experiment.means)
    for hooks in ((), (fill,)):
        step()
        recorder = Recorder(r"\d+\.(attn\.[qk]|(attn|mlp)\.resid_delta)$")
        experiment.model.residual(experiment.batch.tokens, chain(*hooks, recorder))
        runs.append(recorder.tensors)
    layers = range(experiment.model.config.n_layer)
    model, circuit = runs
    heads = [one for layer in layers for one in _heads(experiment, model, circuit, layer)]
    places = itertools.product(layers, ("attn", "mlp"))
    writes = [
        _write(experiment, model, circuit, Location(layer, block, "resid_delta"))
        for layer, block in places
    ]
    return Reasons(tuple(heads), tuple(one for one in writes if one.nodes))


def _heads(
    experiment: Experiment, model: dict[str, Tensor], circuit: dict[str, Tensor], layer: int
) -> list[HeadAgreement]:
    d = experiment.model.config.d_head
    kept = {
        channel // d
        for kind in "qkv"
        for channel in experiment.circuit.nodes.get(Location(layer, "attn", kind), ())
    }
    found: list[HeadAgreement] = []
    for head in sorted(kept):
        one, other = (_pattern(experiment, run, layer, head) for run in (model, circuit))
        apart = (one - other).abs().sum(dim=-1) / 2  # prompt
        found.append(HeadAgreement(layer, head, float(apart.mean())))
    return found


def _pattern(
    experiment: Experiment, run: dict[str, Tensor], layer: int, head: int
) -> Float[Tensor, "prompt slot"]:
    """Where the head looks from the last token, its sink among the slots."""
    d = experiment.model.config.d_head
    here = slice(head * d, (head + 1) * d)
    q, k = (run[f"{layer}.attn.{kind}"][:, None, :, here] for kind in "qk")
    logits = block_of(experiment.model, layer).attn.sink_logit
    sink = None if logits is None else logits[head : head + 1]
    return experiment.batch.at_last(attention_pattern(q, k, sink)[:, 0])


def _write(
    experiment: Experiment, model: dict[str, Tensor], circuit: dict[str, Tensor], place: Location
) -> WriteAgreement:
    channels = list(experiment.circuit.nodes.get(place, ()))
    one, other = (
        experiment.batch.at_last(run[str(place)])[:, channels] for run in (model, circuit)
    )
    one, other = one - one.mean(dim=0), other - other.mean(dim=0)
    moved = (one.norm(dim=1) > STILL) & (other.norm(dim=1) > STILL)
    cosine = float(F.cosine_similarity(one[moved], other[moved]).mean()) if moved.any() else None
    return WriteAgreement(place.block_name, len(channels), cosine)
