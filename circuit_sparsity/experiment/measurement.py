"""Everything that a circuit's file holds, measured on a circuit of our own."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import torch
from jaxtyping import Int
from torch import Tensor

from circuit_sparsity.circuits.circuit import total_nodes
from circuit_sparsity.circuits.edges import EDGE_KINDS, bias_of, weight_between
from circuit_sparsity.core.hooks import no_hook
from circuit_sparsity.core.names import Location, Node, circuit_locations
from circuit_sparsity.experiment.documents import WINDOWS_A_BATCH, documents
from circuit_sparsity.experiment.experiment import Cancelled, Experiment, Progress
from circuit_sparsity.release.values import (
    EdgeMatrix,
    Extremes,
    SearchPoint,
    StoredCircuit,
    TaskSamples,
)
from circuit_sparsity.runtime.ablation import mean_fill
from circuit_sparsity.runtime.activations import node_activations

Step = Callable[[], None]
Key = TypeVar("Key")


def measure_stored(
    experiment: Experiment,
    windows: Int[Tensor, "window pos"] | None = None,
    search: Iterable[SearchPoint] = (),
    progress: Progress = lambda done, of: None,
    cancel: threading.Event | None = None,
) -> StoredCircuit:
    """Run ``experiment`` for all that a ``viz_data.pt`` holds: losses, edges, samples, documents.

    ``windows`` is text that neither model nor circuit was fitted to; without it there are no
    documents, and the released viewer cannot show a node. A circuit that no search found gets a
    search of one point, its own loss. Raises Cancelled when ``cancel`` is set meanwhile.
    """
    circuit, config = experiment.circuit, experiment.model.config
    places = circuit_locations(config.n_layer)
    blocks = tuple(dict.fromkeys(place.block_name for place in places if place.layer is not None))
    n_runs, n_batches = circuit.size + len(experiment.edges), 0
    if windows is not None:
        n_batches = -(-len(windows) // WINDOWS_A_BATCH)
    of = n_runs + n_batches
    each = experiment.ablate_each(circuit.node_list, lambda done, _: progress(done, of), cancel)
    matrices = edge_matrices(experiment, lambda done, _: progress(circuit.size + done, of), cancel)
    found: dict[Node, dict[float, Extremes]] = {}
    if windows is not None:
        step = _steps(n_runs, of, progress, cancel)
        found = documents(experiment.model, circuit.node_list, windows, step=step)
    circuit_loss = experiment.of_circuit.loss
    stored = StoredCircuit(
        circuit=circuit,
        model_loss=experiment.of_model.loss,
        circuit_loss=circuit_loss,
        node_losses={
            node: effect.after.loss for node, effect in zip(circuit.node_list, each, strict=True)
        },
        block_losses=_together(experiment, blocks, lambda node: node.location.block_name),
        location_losses=_together(experiment, places, lambda node: node.location),
        edge_matrices=matrices,
        task_samples=_samples(experiment, of_circuit=False),
        task_samples_circuit=_samples(experiment, of_circuit=True),
        documents=found,
        search=tuple(search) or (SearchPoint(0, circuit_loss),),
        total_nodes=total_nodes(config),
        model_config=config.to_dict(),
        prune_config=circuit.found.to_dict(),
        is_kiter_bug_fixed=True,
    )
    progress(of, of)
    return stored


def edge_matrices(
    experiment: Experiment,
    progress: Progress = lambda done, of: None,
    cancel: threading.Event | None = None,
) -> tuple[EdgeMatrix, ...]:
    """Weights between kept nodes and what each costs, for all six pairs of places of each layer.

    Raises Cancelled when ``cancel`` is set meanwhile.
    """
    effects = experiment.ablate_each(experiment.edges, progress, cancel)
    pairs = zip(experiment.edges, effects, strict=True)
    deltas = {(edge.source, edge.target): effect.delta for edge, effect in pairs}
    return tuple(
        _edge_matrix(
            experiment, Location(layer, block, source), Location(layer, block, target), deltas
        )
        for layer in range(experiment.model.config.n_layer)
        for block, source, target in EDGE_KINDS
    )


def _edge_matrix(
    experiment: Experiment,
    source: Location,
    target: Location,
    deltas: Mapping[tuple[Node, Node], float],
) -> EdgeMatrix:
    sources, targets = (experiment.circuit.nodes.get(place, ()) for place in (source, target))
    weights = weight_between(experiment.model, source, target)[list(targets)][:, list(sources)]
    rises = torch.tensor(
        [[deltas.get((Node(source, s), Node(target, t)), 0.0) for t in targets] for s in sources]
    ).reshape(len(sources), len(targets))
    bias = bias_of(experiment.model, target)
    kept = None if bias is None else bias[list(targets)].detach().float().cpu()
    # A bias does not vary: holding it at its mean changes nothing, so its delta is exactly 0.
    still = None if kept is None else torch.zeros_like(kept)
    values = weights.T.detach().float().cpu().contiguous()  # source target
    return EdgeMatrix(source, target, sources, targets, values, rises, kept, still)


def _together(
    experiment: Experiment, keys: Iterable[Key], key_of: Callable[[Node], object]
) -> dict[Key, float]:
    """By key, the loss of the circuit with every node of that key ablated too."""
    nodes: dict[object, list[Node]] = defaultdict(list)
    for node in experiment.circuit.node_list:
        nodes[key_of(node)].append(node)
    keys = tuple(keys)
    losses = experiment.compiled.losses_without([nodes[key] for key in keys])
    return dict(zip(keys, losses.mean(dim=1).tolist(), strict=True))


def _samples(experiment: Experiment, of_circuit: bool) -> TaskSamples:
    """The prompts and what each kept node does on them, in the model or in the circuit."""
    hook = mean_fill(experiment.alive, experiment.means) if of_circuit else no_hook
    tokens = experiment.batch.tokens
    nodes = experiment.circuit.node_list
    found = node_activations(experiment.model, nodes, tokens, hook)
    return TaskSamples(tokens.long().cpu(), {node: x.float().cpu() for node, x in found.items()})


def _steps(done: int, of: int, progress: Progress, cancel: threading.Event | None) -> Step:
    """Counts on from ``done``; raises Cancelled between two parts of a long computation."""

    def step() -> None:
        nonlocal done
        if cancel is not None and cancel.is_set():
            raise Cancelled(f"stopped after {done} of {of} measurements")
        progress(done, of)
        done += 1

    return step
