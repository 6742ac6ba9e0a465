"""What a circuit's file stores, computed here again, and how far the two are apart."""

import math
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuit_sparsity.core.hooks import chain, no_hook
from circuit_sparsity.core.model import GPT
from circuit_sparsity.core.names import Location, Node
from circuit_sparsity.experiment.experiment import Cancelled, Experiment, Progress
from circuit_sparsity.release.values import StoredCircuit, TaskSamples
from circuit_sparsity.runtime.ablation import mean_fill
from circuit_sparsity.runtime.activations import node_activations
from circuit_sparsity.runtime.prefix_cache import ResumableRun, block_of, resumable_run
from circuit_sparsity.tasks.task import TaskBatch, two_way_loss

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
        normed = block.get_submodule(of_positions)(positions)
        return torch.cat((norm(x), normed.expand(len(x), -1, -1)), dim=-1)


def _kept(model: GPT, location: Location) -> int | None:
    if location.layer is None:
        return None
    place = f"{location.block}_{_PLACES[location.kind]}"
    return model.config.kept(place, model.config.width(location))


LOSS_TOLERANCE = 1e-5  # nats per sequence: float32 sums in another order stay well below it
_HALF_STEP = 2.0**-11  # of float16, in which activations are stored, as a share of the value
_NOISE = 2e-5  # of float32 through the layers, as a share of the largest value
_PROMPTS_AT_ONCE = 16

Step = Callable[[], None]


@dataclass(frozen=True)
class Differences:
    """Numbers that were stored, compared with the same numbers computed here."""

    count: int
    largest: float  # |stored - here|
    at: str  # where that is
    scale: float  # the largest magnitude among the stored numbers
    beyond: int  # how many differ by more than rounding explains
    near_ties: int = 0  # left out: decided by a top-k whose boundary is closer than rounding


@dataclass(frozen=True)
class Reproduction:
    """How far the numbers of a circuit's file are from those computed here."""

    losses: Mapping[str, Differences]  # by what they are, in words; nats per sequence
    activations: Mapping[str, Differences]
    prompts: int

    @property
    def agrees(self) -> bool:
        return not any(d.beyond for d in (*self.losses.values(), *self.activations.values()))


def reproduce(
    stored: StoredCircuit,
    experiment: Experiment,
    progress: Progress = lambda done, of: None,
    cancel: threading.Event | None = None,
) -> Reproduction:
    """Compute the losses and activations in ``stored`` again and compare.

    The answers are those of the experiment. Raises ValueError when the file stores no losses or
    its prompts are not the experiment's, and Cancelled when ``cancel`` is set meanwhile.
    """
    if not stores_numbers(stored):
        raise ValueError(
            f"the file of {stored.title} lacks the losses of model and circuit, or the prompts "
            "that they are about: there is nothing to compare; `evaluate` measures the circuit"
        )
    experiment = replace(experiment, batch=_stored_prompts(stored, experiment.batch))
    passes = 2 * -(-len(experiment.batch) // _PROMPTS_AT_ONCE)
    of = 2 + passes + len(stored.node_losses) + len(stored.block_losses)
    step = _steps(of, progress, cancel)
    step()
    run = resumable_run(
        experiment.model,
        experiment.alive,
        experiment.means,
        experiment.batch.tokens,
        experiment.batch.last,
    )
    step()
    result = Reproduction(
        losses=_losses(stored, experiment, run, step),
        activations={
            "model": _activations(stored.task_samples, experiment, False, step),
            "circuit": _activations(stored.task_samples_circuit, experiment, True, step),
        },
        prompts=len(experiment.batch),
    )
    progress(of, of)
    return result


def stores_numbers(stored: StoredCircuit) -> bool:
    """Whether the file holds losses of model and circuit and the prompts that they are about."""
    losses = (stored.model_loss, stored.circuit_loss)
    return len(stored.task_samples.tokens) > 0 and not any(map(math.isnan, losses))


def _stored_prompts(stored: StoredCircuit, batch: TaskBatch) -> TaskBatch:
    """The prompts of ``batch`` that the file's numbers are about: all, or its first pairs."""
    theirs = stored.task_samples.tokens
    pairs = len(theirs) // 2
    if pairs <= batch.n_pairs:
        first = batch if pairs == batch.n_pairs else batch.select(range(pairs))
        if first.tokens.shape == theirs.shape and torch.equal(first.tokens.cpu(), theirs):
            return first
    raise ValueError(
        f"{stored.title} stores {len(theirs)} prompts of up to {theirs.shape[1]} tokens that are "
        f"not among the {len(batch)} that run here: its task or tokenizer has changed since it "
        "was made, so its numbers cannot be compared; make the circuit again"
    )


def _losses(
    stored: StoredCircuit,
    experiment: Experiment,
    run: ResumableRun,
    step: Step,
) -> dict[str, Differences]:
    batch, nodes, blocks = experiment.batch, {}, {}
    for node in stored.node_losses:
        step()
        nodes[str(node)] = _loss(run.without((node,)), batch)
    for block in stored.block_losses:
        step()
        members = tuple(n for n in stored.circuit.node_list if n.location.block_name == block)
        blocks[block] = _loss(run.without(members), batch)
    of_model = _loss(experiment.logits(None), batch)
    of_nodes = {str(node): loss for node, loss in stored.node_losses.items()}
    whole = {"model": stored.model_loss, "circuit": stored.circuit_loss}
    here = {"model": of_model, "circuit": _loss(run.base, batch)}
    known = {name: {name: loss} for name, loss in whole.items() if not math.isnan(loss)}
    return {
        **{name: _compare(loss, here) for name, loss in known.items()},
        "nodes": _compare(of_nodes, nodes),
        "blocks": _compare(stored.block_losses, blocks),
    }


def _compare(stored: Mapping[str, float], here: Mapping[str, float]) -> Differences:
    apart = {name: abs(loss - here[name]) for name, loss in stored.items()}
    worst = max(apart, key=lambda name: apart[name], default="")
    beyond = sum(not difference <= LOSS_TOLERANCE for difference in apart.values())
    scale = max(map(abs, stored.values()), default=0.0)
    return Differences(len(stored), apart.get(worst, 0.0), worst, scale, beyond)


def _activations(
    samples: TaskSamples, experiment: Experiment, of_circuit: bool, step: Step
) -> Differences:
    """Over every kept node and token, but for values that a near-tie of a top-k decides."""
    model, nodes = experiment.model, tuple(samples.activations)
    parts = []
    for start in range(0, len(samples.tokens), _PROMPTS_AT_ONCE):
        step()
        tokens = experiment.batch.tokens[start : start + _PROMPTS_AT_ONCE]
        fill = mean_fill(experiment.alive, experiment.means) if of_circuit else no_hook
        ties = NearTies(model, nodes)
        here = node_activations(model, nodes, tokens, chain(fill, ties))
        rows = slice(start, start + len(tokens))
        for node in nodes:
            kept = samples.activations[node][rows].float()
            parts.append(_of_node(node, kept, here[node].float().cpu(), ties))
    worst = max(parts, key=lambda part: part.largest, default=Differences(0, 0.0, "", 0.0, 0))
    return replace(
        worst,
        count=sum(part.count for part in parts),
        scale=max((part.scale for part in parts), default=0.0),
        beyond=sum(part.beyond for part in parts),
        near_ties=sum(part.near_ties for part in parts),
    )


def _of_node(
    node: Node, stored: Float[Tensor, "prompt pos"], here: Float[Tensor, "prompt pos"], t: NearTies
) -> Differences:
    tied = t.found.get(node, torch.zeros_like(stored, dtype=torch.bool)).cpu()
    apart = (stored - here).abs()
    rounding = _HALF_STEP * here.abs() + _NOISE * max(float(here.abs().max()), 1.0)
    compared = apart[~tied]
    return Differences(
        count=compared.numel(),
        largest=float(compared.max()) if compared.numel() else 0.0,
        at=str(node),
        scale=float(stored.abs().max()),
        beyond=int((~(apart <= rounding) & ~tied).sum()),
        near_ties=int(tied.sum()),
    )


def _loss(logits: Float[Tensor, "prompt vocab"], batch: TaskBatch) -> float:
    return float(two_way_loss(logits, batch.right, batch.wrong).mean())


def _steps(of: int, progress: Progress, cancel: threading.Event | None) -> Step:
    """Counts the parts of the work; raises Cancelled between two of them."""
    done = 0

    def step() -> None:
        nonlocal done
        if cancel is not None and cancel.is_set():
            raise Cancelled(f"stopped after {done} of {of} runs")
        progress(done, of)
        done += 1

    return step
