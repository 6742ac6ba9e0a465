"""``viz_data.pt`` into values. Every oddity of the released files ends here.

What is repaired, all of it seen in the released format:

- each loss, loss delta and search loss is twice the mean per sequence (the sum over a pair);
- channel keys are 0-d tensors in ``samples`` and integers in ``task_samples``;
- activations are float16, document tokens int16;
- an edge matrix may end in a row named ``"bias"``, and matrices may be nested once more, one
  list for each process that computed them;
- a location without kept nodes is an empty tensor, an empty list or an empty dictionary, and its
  matrices have no rows or no columns;
- ``loc_interv_losses`` may be empty.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.circuits.found import Found
from circuit_sparsity.core.names import Location, Node
from circuit_sparsity.release.errors import Source
from circuit_sparsity.release.values import (
    Doc,
    EdgeMatrix,
    Extremes,
    PerNode,
    SearchPoint,
    StoredCircuit,
    TaskSamples,
)

BIAS = "bias"
DOUBLED = 2.0  # stored losses are sums over the two prompts of a pair

TOP_KEYS = (
    *("circuit_data", "samples", "importances", "all_loss", "num_total_nodes"),
    "prune_config",
)
IMPORTANCE_KEYS = (
    *("beeg_model_config", "loss", "interv_loss", "ch_interv_losses", "layer_interv_losses"),
    *("loc_interv_losses", "pair_data", "pair_data_connections"),
    *("task_samples", "task_samples_circuit"),
)


def read_viz(
    path: str | Path,
    model: str | None = None,
    task: str | None = None,
    sweep: str | None = None,
    k: str | None = None,
) -> StoredCircuit:
    """The circuit stored in a ``viz_data.pt``, in the release's format.

    Names that are not given are those of the folders it lies in
    (``<model>/<task>/<sweep>/<k>/viz_data.pt``). Raises ReleaseError when the file is missing,
    empty, cut off or of another structure; the message names the file and what it lacks.
    """
    path = Path(path)
    source = Source(path, "a circuit", "a viz_data.pt of the release's format, 1 to 20 MB")
    raw = source.load()
    source.require(raw, TOP_KEYS)
    importances = raw["importances"]
    source.require(importances, IMPORTANCE_KEYS, "importances")
    folders = ["?"] * 4 + list(path.absolute().parts[:-1])
    names = [
        given if given is not None else folder
        for given, folder in zip((model, task, sweep, k), folders[-4:], strict=True)
    ]
    with source.section("circuit_data", "{location: channels}"):
        nodes = {
            Location.parse(place): tuple(map(int, channels))
            for place, channels in raw["circuit_data"].items()
        }
        circuit = Circuit(nodes, *names, found=Found.from_dict(raw["prune_config"]))
    with source.section("all_loss", "[(iteration, loss), ...]"):
        search = tuple(SearchPoint(int(i), float(x) / DOUBLED) for i, x in raw["all_loss"])
    with source.section("samples", "{location: {channel: {quantile: (bottom, top)}}}"):
        documents = PerNode(_documents(circuit, raw["samples"]), _extremes)
    with source.section("num_total_nodes, is_kiter_bug_fixed or beeg_model_config", "as released"):
        fixed = raw.get("is_kiter_bug_fixed")
        rest = {
            "total_nodes": int(raw["num_total_nodes"]),
            "is_kiter_bug_fixed": None if fixed is None else bool(fixed),
            "model_config": dict(importances["beeg_model_config"]),
            "prune_config": dict(raw["prune_config"]),
        }
    measured = _importances(source, circuit, importances)
    return StoredCircuit(circuit=circuit, search=search, documents=documents, **measured, **rest)


def _importances(source: Source, circuit: Circuit, raw: Mapping[str, Any]) -> dict[str, Any]:
    with source.section("the losses in importances", "numbers, one for each kept node"):
        losses = {
            "model_loss": float(raw["loss"]) / DOUBLED,
            "circuit_loss": float(raw["interv_loss"]) / DOUBLED,
            "node_losses": dict(_node_losses(circuit, raw["ch_interv_losses"])),
            "block_losses": _halved(raw["layer_interv_losses"]),
            "location_losses": {
                Location.parse(place): loss
                for place, loss in _halved(raw["loc_interv_losses"]).items()
            },
        }
    with source.section("pair_data", "[[matrix, sources, targets, (source, target)], ...]"):
        matrices = _edge_matrices(raw["pair_data"], raw["pair_data_connections"])
    samples = {}
    for key in ("task_samples", "task_samples_circuit"):
        with source.section(key, "(tokens, {location: {channel: activations}})"):
            samples[key] = _task_samples(circuit, raw[key])
    return {**losses, **samples, "edge_matrices": matrices}


def _halved(losses: Mapping[Any, Any]) -> dict[str, float]:
    return {str(name): float(loss) / DOUBLED for name, loss in losses.items()}


def _node_losses(circuit: Circuit, raw: Mapping[str, Any]) -> Iterator[tuple[Node, float]]:
    for location, kept in circuit.nodes.items():
        losses = raw[str(location)] if kept else ()
        for channel, loss in zip(kept, losses, strict=True):
            yield Node(location, channel), float(loss) / DOUBLED


def _edge_matrices(deltas: Any, weights: Any) -> tuple[EdgeMatrix, ...]:
    weights_of = {tuple(entry[3]): entry for entry in _joined(weights)}
    entries = _joined(deltas)
    if set(weights_of) != {tuple(entry[3]) for entry in entries}:
        raise ValueError("pair_data and pair_data_connections join different locations")
    return tuple(_edge_matrix(entry, weights_of[tuple(entry[3])]) for entry in entries)


def _joined(entries: Any) -> list[Any]:
    """The entries; a file that kept one list of them for each process is put together."""
    if entries and not isinstance(entries[0][0], Tensor):
        return [entry for part in entries for entry in part]
    return list(entries)


def _edge_matrix(deltas: Sequence[Any], weights: Sequence[Any]) -> EdgeMatrix:
    source, target = map(Location.parse, deltas[3])
    from_deltas, changes, bias_changes = _without_bias(deltas)
    sources, values, bias_values = _without_bias(weights)
    targets = tuple(map(int, deltas[2]))
    if (sources, tuple(map(int, weights[2]))) != (from_deltas, targets):
        raise ValueError(f"{source} to {target}: weights and deltas are of different nodes")
    return EdgeMatrix(
        source,
        target,
        sources,
        targets,
        weights=values,
        deltas=changes / DOUBLED,
        bias_weights=bias_values,
        bias_deltas=None if bias_changes is None else bias_changes / DOUBLED,
    )


def _without_bias(
    entry: Sequence[Any],
) -> tuple[tuple[int, ...], Float[Tensor, "source target"], Float[Tensor, " target"] | None]:
    """Source channels, their rows, and the row named ``"bias"`` where there is one."""
    names, n_targets = list(entry[1]), len(entry[2])
    matrix = torch.as_tensor(entry[0]).float().reshape(len(names), n_targets)
    if names and isinstance(names[-1], str) and names[-1] == BIAS:
        return tuple(map(int, names[:-1])), matrix[:-1], matrix[-1]
    return tuple(map(int, names)), matrix, None


def _task_samples(circuit: Circuit, raw: Sequence[Any]) -> TaskSamples:
    tokens, activations = raw
    stored = {}
    for location, kept in circuit.nodes.items():
        by_channel = _by_channel(activations[str(location)]) if kept else {}
        for channel in kept:
            stored[Node(location, channel)] = by_channel[channel]
            if by_channel[channel].shape != tokens.shape:
                raise ValueError(f"{location}:{channel} has another shape than the tokens")
    return TaskSamples(tokens.long(), PerNode(stored, Tensor.float))


def _documents(circuit: Circuit, raw: Mapping[str, Any]) -> dict[Node, Any]:
    """Stored documents by node, as they are; their structure checked."""
    found = {}
    for location, kept in circuit.nodes.items():
        by_channel = _by_channel(raw.get(str(location), {}))
        for channel in kept:
            if channel in by_channel:
                found[Node(location, channel)] = _checked(by_channel[channel])
    return found


def _checked(quantiles: Mapping[float, Any]) -> Mapping[float, Any]:
    for bottom, top in quantiles.values():
        for tokens, activations, position in (*bottom, *top):
            if tokens.shape != activations.shape or not 0 <= int(position) < len(tokens):
                raise ValueError("a document's tokens, activations and position do not agree")
    return quantiles


def _extremes(stored: Mapping[float, Any]) -> dict[float, Extremes]:
    return {
        float(quantile): Extremes(tuple(map(_doc, bottom)), tuple(map(_doc, top)))
        for quantile, (bottom, top) in stored.items()
    }


def _doc(stored: Sequence[Any]) -> Doc:
    tokens, activations, position = stored
    return Doc(tokens.long(), activations.float(), int(position))


def _by_channel(stored: Mapping[Any, Any]) -> dict[int, Any]:
    """Keys as integers: they are 0-d tensors, which are equal to nothing but themselves."""
    return {int(channel): value for channel, value in stored.items()}
