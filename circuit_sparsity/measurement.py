"""Everything that a circuit's file holds, measured on a circuit of our own."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuit_sparsity.circuits.ablation import mean_fill
from circuit_sparsity.circuits.circuit import total_nodes
from circuit_sparsity.circuits.edge_ablation import bias_of, without_each_edge
from circuit_sparsity.circuits.edges import EDGE_KINDS, weight_between
from circuit_sparsity.circuits.node_activations import node_activations
from circuit_sparsity.circuits.resumed import ResumableRun, resumable_run
from circuit_sparsity.experiment import Cancelled, Experiment, Progress
from circuit_sparsity.hooks import no_hook
from circuit_sparsity.names import Location, Node, circuit_locations
from circuit_sparsity.release.documents import WINDOWS_A_BATCH, documents
from circuit_sparsity.release.values import EdgeMatrix, SearchPoint, StoredCircuit, TaskSamples
from circuit_sparsity.tasks.task import two_way_loss

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
    n_batches = 0 if windows is None else -(-len(windows) // WINDOWS_A_BATCH)
    of = circuit.size + len(blocks) + len(places) + len(experiment.edges) + n_batches
    step = _steps(of, progress, cancel)
    run = start(experiment)
    circuit_loss = _loss(experiment, run.base)
    found = (
        {}
        if windows is None
        else documents(experiment.model, circuit.node_list, windows, step=step)
    )
    stored = StoredCircuit(
        circuit=circuit,
        model_loss=experiment.of_model.loss,
        circuit_loss=circuit_loss,
        node_losses=_losses(experiment, run, circuit.node_list, lambda node: node, step),
        block_losses=_losses(experiment, run, blocks, lambda n: n.location.block_name, step),
        location_losses=_losses(experiment, run, places, lambda node: node.location, step),
        edge_matrices=edge_matrices(experiment, run, step),
        task_samples=_samples(experiment, of_circuit=False),
        task_samples_circuit=_samples(experiment, of_circuit=True),
        documents=found,
        search=tuple(search) or (SearchPoint(0, circuit_loss),),
        total_nodes=total_nodes(config),
        model_config=config.to_dict(),
        prune_config=circuit.found,
        is_kiter_bug_fixed=True,
    )
    progress(of, of)
    return stored


def start(experiment: Experiment) -> ResumableRun:
    """The circuit's run over the experiment's prompts, ready for what is ablated one by one."""
    batch = experiment.batch
    return resumable_run(
        experiment.model, experiment.alive, experiment.means, batch.tokens, batch.last
    )


def edge_matrices(
    experiment: Experiment, run: ResumableRun, step: Step = lambda: None
) -> tuple[EdgeMatrix, ...]:
    """Weights between kept nodes and what each costs, for all six pairs of places of each layer.

    ``step`` is called before each edge; what it raises ends the work.
    """
    before, deltas = _loss(experiment, run.base), {}
    step_by_step = (step() or edge for edge in experiment.edges)
    for edge, logits in without_each_edge(run, step_by_step):
        deltas[edge.source, edge.target] = _loss(experiment, logits) - before
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


def _losses(
    experiment: Experiment,
    run: ResumableRun,
    keys: Iterable[Key],
    key_of: Callable[[Node], object],
    step: Step,
) -> dict[Key, float]:
    """By key, the loss of the circuit with every node of that key ablated too."""
    nodes: dict[object, list[Node]] = defaultdict(list)
    for node in experiment.circuit.node_list:
        nodes[key_of(node)].append(node)
    found = {}
    for key in keys:
        step()
        found[key] = _loss(experiment, run.without(tuple(nodes[key])))
    return found


def _loss(experiment: Experiment, logits: Float[Tensor, "prompt vocab"]) -> float:
    batch = experiment.batch
    return float(two_way_loss(logits, batch.right, batch.wrong).mean())


def _samples(experiment: Experiment, of_circuit: bool) -> TaskSamples:
    """The prompts and what each kept node does on them, in the model or in the circuit."""
    hook = mean_fill(experiment.alive, experiment.means) if of_circuit else no_hook
    tokens = experiment.batch.tokens
    nodes = experiment.circuit.node_list
    found = node_activations(experiment.model, nodes, tokens, hook)
    return TaskSamples(tokens.long().cpu(), {node: x.float().cpu() for node, x in found.items()})


def _steps(of: int, progress: Progress, cancel: threading.Event | None) -> Step:
    """Counts the parts of a long computation; raises Cancelled between two of them."""
    done = 0

    def step() -> None:
        nonlocal done
        if cancel is not None and cancel.is_set():
            raise Cancelled(f"stopped after {done} of {of} measurements")
        progress(done, of)
        done += 1

    return step
