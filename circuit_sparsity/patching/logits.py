"""From the residual stream to the answer: direct logit attribution and the logit lens."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from circuit_sparsity.circuits.edges import weights_out_of
from circuit_sparsity.core.hooks import Recorder, chain, no_hook
from circuit_sparsity.core.model import GPT
from circuit_sparsity.core.names import FINAL_RESID, Location, Node, circuit_locations
from circuit_sparsity.experiment.experiment import Experiment
from circuit_sparsity.patching.pairs import pairs_of
from circuit_sparsity.runtime.ablation import mean_fill
from circuit_sparsity.runtime.gated_model import unembedding
from circuit_sparsity.tasks.task import TaskBatch


@dataclass(frozen=True, eq=False)
class DirectLogits:
    """Parts of the log odds of a prompt's answer, in nats, the last norm's scale held as it is.

    ``embedding``, all of ``writes`` and ``constant`` add up to ``log_odds``. ``sources`` are the
    neurons and values behind the writes: what each adds to the writes that it reaches, before
    their top-k and by the attention pattern as it is; their sum is part of the writes', not more.
    """

    prompt: int
    log_odds: float
    embedding: float
    writes: Mapping[Node, float]  # a channel that a block writes, at the last token
    constant: float  # of the bias, the bigram table, and what is held at means at the end
    sources: Mapping[Node, float]


@dataclass(frozen=True, eq=False)
class LogitLens:
    """The next-token logits that the residual stream would give at each depth, at each token.

    nostalgebraist's logit lens: the stream goes through the last norm and the unembedding as if no
    block followed. The last depth is the run itself.
    """

    prompt: int
    depths: tuple[str, ...]  # "0.resid_in", "0.resid_mid", …, "final_resid"
    logits: Float[Tensor, "depth pos vocab"]
    right: int
    wrong: int

    @property
    def log_odds(self) -> Float[Tensor, "depth pos"]:
        """Of the right answer against the wrong one, in nats."""
        return self.logits[..., self.right] - self.logits[..., self.wrong]


@torch.no_grad()
def direct_logits(
    experiment: Experiment, prompt: int = 0, whole_model: bool = False
) -> DirectLogits:
    """What each write of the model, or each kept one of the circuit, adds to the answer directly.

    In a circuit only channels that are kept at the end count; the others are a constant there, and
    so is what kept nodes are not. Raises ValueError where the residual stream is no sum (a relu or
    a top-k on it), and for a prompt that is not there.
    """
    model, batch = experiment.model, pairs_of(experiment, [prompt]).batch
    check_sum(model)
    recorder, hook = Recorder(), no_hook
    kept = torch.ones(model.config.d_model, dtype=torch.bool, device=model.device)
    if not whole_model:
        hook = mean_fill(experiment.alive, experiment.means)
        kept = experiment.alive[FINAL_RESID].to(kept)
    model.residual(batch.tokens, chain(hook, recorder))
    last = int(batch.last[0])
    at_end = {name: x[0, last].float() for name, x in recorder.tensors.items()}
    direction = direction_of(model, batch, at_end[str(FINAL_RESID)]) * kept  # d_model
    alive = None if whole_model else experiment.alive
    writes = dict[Node, float]()
    for place in circuit_locations(model.config.n_layer):
        if not place.writes_residual:
            continue
        parts = at_end[str(place)] * direction
        mask = parts != 0 if alive is None else alive[place]
        writes |= {Node(place, c): float(parts[c]) for c in mask.nonzero().flatten().tolist()}
    logits = model.unembed(at_end[str(FINAL_RESID)][None], batch.tokens[:, last])[0]
    log_odds = float(logits[batch.right[0]] - logits[batch.wrong[0]])
    embedding = float((at_end["0.resid_in"] * direction).sum())
    constant = log_odds - embedding - sum(writes.values())
    sources = _sources(experiment, at_end, direction, whole_model)
    return DirectLogits(prompt, log_odds, embedding, writes, constant, sources)


def check_sum(model: GPT) -> None:
    config = model.config
    places = set(config.top_k_places) if config.afrac is not None else set()
    if config.residual_activation_type == "relu" or places & {"resid_post_attn", "resid_post_mlp"}:
        raise ValueError(
            "the residual stream of this model is cut by a relu or a top-k after each block, so "
            "no write reaches the end as it is; direct logit attribution takes a stream that is "
            "a sum"
        )


def direction_of(
    model: GPT, batch: TaskBatch, end: Float[Tensor, " d_model"]
) -> Float[Tensor, " d_model"]:
    """What one unit of each channel adds to the log odds, at the scale of the last norm."""
    norm = model.transformer.ln_f
    through = unembedding(model, batch.right)[0] - unembedding(model, batch.wrong)[0]
    gain, epsilon = norm.weight, norm.eps
    assert isinstance(gain, Tensor), "the last norm has no gain"
    through = (through * gain).detach().float()
    least = epsilon if isinstance(epsilon, float) else torch.finfo(torch.float32).eps
    if model.config.rms_norm:
        return through / (end.square().mean() + least).sqrt()
    return (through - through.mean()) / (end.var(unbiased=False) + least).sqrt()


def _sources(
    experiment: Experiment,
    at_end: Mapping[str, Float[Tensor, " width"]],
    direction: Float[Tensor, " d_model"],
    whole_model: bool,
) -> dict[Node, float]:
    """Neurons by their activation, values by their head's output channel, times their weights."""
    found = dict[Node, float]()
    model = experiment.model
    for layer in range(model.config.n_layer):
        for block, kind, seen in (("attn", "v", "y"), ("mlp", "post_act", "post_act")):
            source = Location(layer, block, kind)
            target = Location(layer, block, "resid_delta")
            x = at_end[f"{layer}.{block}.{seen}"]
            mask = x != 0 if whole_model else experiment.alive[source].to(x.device)
            channels = mask.nonzero().flatten().tolist()
            if not channels:
                continue
            survives = at_end[str(target)] != 0
            if not whole_model:
                survives = survives & experiment.alive[target].to(x.device)
            weights = weights_out_of(model, source, target, channels).float()
            parts = (direction * survives) @ weights * x[channels]
            found |= {Node(source, c): float(part) for c, part in zip(channels, parts, strict=True)}
    return found


@torch.no_grad()
def logit_lens(experiment: Experiment, prompt: int = 0, whole_model: bool = False) -> LogitLens:
    """Logits by depth and token of one prompt, in the circuit or the whole model.

    ValueError for a prompt that is not there.
    """
    model, batch = experiment.model, pairs_of(experiment, [prompt]).batch
    hook = no_hook if whole_model else mean_fill(experiment.alive, experiment.means)
    recorder = Recorder(r"\d+\.resid_(in|mid)$|final_resid$")
    model.residual(batch.tokens, chain(hook, recorder))
    depths = tuple(recorder.tensors)
    logits = torch.cat([model.unembed(x, batch.tokens) for x in recorder.tensors.values()])
    right, wrong = int(batch.right[0]), int(batch.wrong[0])
    return LogitLens(prompt, depths, logits.float(), right, wrong)
