"""Which nodes of the whole model, at which tokens, carry what a pair differs in.

Attribution patching (Nanda 2023; Syed et al. 2023, arXiv 2310.10348) estimates every cell of the
whole model's patching map by one backward pass: what the node's value changes by, times the slope
of the log odds. The cells with the largest estimates are then patched, each by a pass of its own.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from circuit_sparsity.core.hooks import Recorder, with_names
from circuit_sparsity.core.names import Location, Node, circuit_locations
from circuit_sparsity.experiment.experiment import Experiment
from circuit_sparsity.patching.pairs import Pairs, pairs_of
from circuit_sparsity.runtime.ablation import answer_logits


@dataclass(frozen=True)
class ModelCell:
    """A node of the whole model at a token, patched from the pair's other prompt."""

    node: Node
    position: int
    estimate: float  # change of the log odds in nats, to first order
    exact: float  # the same, computed
    kept: bool  # by the circuit


def strongest_in_model(
    experiment: Experiment, prompt: int = 0, most: int = 32
) -> tuple[ModelCell, ...]:
    """The ``most`` cells of the whole model with the largest estimates, by their exact changes.

    Raises ValueError for a prompt that is not there and for fewer than one cell.
    """
    if most < 1:
        raise ValueError(f"{most} cells were asked for; expected at least 1")
    pairs = pairs_of(experiment, [prompt])
    estimates, changes = _estimates(experiment, pairs)
    places = list(estimates)
    flat = torch.cat([estimates[place].flatten() for place in places])
    starts = torch.tensor([estimates[place].numel() for place in places]).cumsum(0)
    cells = list[tuple[Node, int, float, float]]()
    for at in flat.abs().argsort(descending=True, stable=True)[:most].tolist():
        which = int(torch.searchsorted(starts, at, right=True))
        inside = at - (int(starts[which - 1]) if which else 0)
        position, channel = divmod(inside, estimates[places[which]].shape[1])
        value = float(changes[places[which]][position, channel])
        cells.append((Node(places[which], channel), position, float(flat[at]), value))
    exact = _exact(experiment, pairs, [(node, pos, value) for node, pos, _, value in cells])
    found = [
        ModelCell(node, position, estimate, after, experiment.circuit.keeps(node))
        for (node, position, estimate, _), after in zip(cells, exact, strict=True)
    ]
    return tuple(sorted(found, key=lambda cell: -abs(cell.exact)))


def _estimates(
    experiment: Experiment, pairs: Pairs
) -> tuple[dict[Location, Float[Tensor, "pos width"]], dict[Location, Float[Tensor, "pos width"]]]:
    """By place: estimates of every cell, and the values that would be patched in."""
    model, other = experiment.model, Recorder()
    with torch.no_grad():
        answer_logits(model, pairs.other.tokens, pairs.other.last, other)
    locations = {str(place): place for place in circuit_locations(model.config.n_layer)}
    leaves, own = dict[str, Tensor](), dict[str, Tensor]()

    def open_up(name: str, x: Tensor) -> Tensor:
        if name not in locations:
            return x
        own[name] = x.detach()
        leaves[name] = torch.zeros_like(x, requires_grad=True)
        return x + leaves[name]

    with torch.enable_grad():
        hook = with_names(open_up, locations)
        logits = answer_logits(model, pairs.batch.tokens, pairs.batch.last, hook)[0]
        log_odds = logits[pairs.batch.right[0]] - logits[pairs.batch.wrong[0]]
        slopes = torch.autograd.grad(log_odds, list(leaves.values()), allow_unused=True)
    place = pairs.places[0]
    aligned = (place >= 0)[:, None]
    estimates, values = dict[Location, Tensor](), dict[Location, Tensor]()
    for name, slope in zip(leaves, slopes, strict=True):
        patched = other.tensors[name][0, place.clamp(min=0)].cpu()
        change = torch.where(aligned, patched - own[name][0].cpu(), 0.0)
        values[locations[name]] = patched
        estimates[locations[name]] = change * 0 if slope is None else change * slope[0].cpu()
    return estimates, values


def _exact(
    experiment: Experiment, pairs: Pairs, cells: list[tuple[Node, int, float]]
) -> list[float]:
    """The change of the log odds by each cell alone; all are rows of one batch."""
    model, batch = experiment.model, pairs.batch

    def patch(name: str, x: Tensor) -> Tensor:
        rows = [i for i, (node, _, _) in enumerate(cells) if str(node.location) == name]
        if rows:
            x = x.clone()
        for i in rows:
            node, position, value = cells[i]
            x[i, position, node.channel] = value
        return x

    names = {str(node.location) for node, _, _ in cells}
    count = len(cells) + 1  # the last row is the prompt as it is
    with torch.no_grad():
        tokens, last = batch.tokens.expand(count, -1), batch.last.expand(count)
        logits = answer_logits(model, tokens, last, with_names(patch, names))
    log_odds = logits[:, batch.right[0]] - logits[:, batch.wrong[0]]
    changes: list[float] = (log_odds[:-1] - log_odds[-1]).tolist()
    return changes
