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

People also make such files with less in them. ``circuit_data`` is all that a file must have; what
else is missing is empty, or not a number, in the value. What is there and is no number is an error.
"""

import math
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
    NOT_STORED,
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

NO_PROMPTS = TaskSamples(torch.zeros(0, 0, dtype=torch.int64), {})


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
    empty, cut off, of another structure, or holds NaN or infinity; the message names the file and
    the place.
    """
    path = Path(path)
    source = Source(path, "a circuit", "a viz_data.pt of the release's format, 1 to 20 MB")
    raw = source.load()
    source.require(raw, ("circuit_data",))
    importances = raw.get("importances") or {}
    source.require(importances, (), "importances")
    prune_config = raw.get("prune_config") or {}
    source.require(prune_config, (), "prune_config")
    folders = ["?"] * 4 + list(path.absolute().parts[:-1])
    names = [
        given if given is not None else folder
        for given, folder in zip((model, task, sweep, k), folders[-4:], strict=True)
    ]
    with source.section("circuit_data", "{location: channels}"):
        nodes = {
            Location.parse(place): _channels(place, channels)
            for place, channels in raw["circuit_data"].items()
        }
        circuit = Circuit(nodes, *names, found=Found.from_dict(prune_config))
    with source.section("all_loss", "[(iteration, loss), ...]"):
        points = raw.get("all_loss") or ()
        search = tuple(SearchPoint(int(i), _finite(x) / DOUBLED) for i, x in points)
    with source.section("samples", "{location: {channel: {quantile: (bottom, top)}}}"):
        documents = PerNode(_documents(circuit, raw.get("samples") or {}), _extremes)
    with source.section("num_total_nodes, is_kiter_bug_fixed or beeg_model_config", "as released"):
        fixed = raw.get("is_kiter_bug_fixed")
        rest = {
            "total_nodes": int(raw.get("num_total_nodes") or 0),
            "is_kiter_bug_fixed": None if fixed is None else bool(fixed),
            "model_config": dict(importances.get("beeg_model_config") or {}),
            "prune_config": dict(prune_config),
        }
    measured = _importances(source, circuit, importances)
    return StoredCircuit(circuit=circuit, search=search, documents=documents, **measured, **rest)


def _importances(source: Source, circuit: Circuit, raw: Mapping[str, Any]) -> dict[str, Any]:
    with source.section("the losses in importances", "numbers, one for each kept node"):
        losses = {
            "model_loss": _finite(raw["loss"]) / DOUBLED if "loss" in raw else NOT_STORED,
            "circuit_loss": (
                _finite(raw["interv_loss"]) / DOUBLED if "interv_loss" in raw else NOT_STORED
            ),
            "node_losses": dict(_node_losses(circuit, raw.get("ch_interv_losses") or {})),
            "block_losses": _halved(raw.get("layer_interv_losses") or {}),
            "location_losses": {
                Location.parse(place): loss
                for place, loss in _halved(raw.get("loc_interv_losses") or {}).items()
            },
        }
    with source.section("pair_data", "[[matrix, sources, targets, (source, target)], ...]"):
        both = [raw.get(key) or () for key in ("pair_data", "pair_data_connections")]
        matrices = _edge_matrices(*both) if all(both) else ()
    samples = {}
    for key in ("task_samples", "task_samples_circuit"):
        with source.section(key, "(tokens, {location: {channel: activations}})"):
            samples[key] = _task_samples(circuit, raw[key]) if raw.get(key) else NO_PROMPTS
    return {**losses, **samples, "edge_matrices": matrices}


def _channels(place: str, stored: Any) -> tuple[int, ...]:
    """The kept channels of a location, from a tensor or a list."""
    if isinstance(stored, Tensor):
        stored = _all_finite(stored, place).tolist()
    return tuple(map(int, stored))


def _halved(losses: Mapping[Any, Any]) -> dict[str, float]:
    return {str(name): _finite(loss) / DOUBLED for name, loss in losses.items()}


def _finite(value: Any) -> float:
    """A stored number; ValueError where it is none, or not finite."""
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"a stored number is {number}")
    return number


def _all_finite(x: Tensor, what: object) -> Tensor:
    if x.numel() * x.element_size() > x.untyped_storage().nbytes():
        raise ValueError(f"{what} says that its shape is {tuple(x.shape)}, and less is stored")
    if x.is_floating_point() and not math.isfinite(float(x.sum(dtype=torch.float64))):
        raise ValueError(f"{what} holds NaN or infinity")
    return x


def _node_losses(circuit: Circuit, raw: Mapping[str, Any]) -> Iterator[tuple[Node, float]]:
    for location, kept in circuit.nodes.items():
        if kept and str(location) in raw:
            for channel, loss in zip(kept, raw[str(location)], strict=True):
                yield Node(location, channel), _finite(loss) / DOUBLED


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
    matrix = _all_finite(torch.as_tensor(entry[0]), "a matrix of edges")
    matrix = matrix.float().reshape(len(names), n_targets)
    if names and isinstance(names[-1], str) and names[-1] == BIAS:
        return tuple(map(int, names[:-1])), matrix[:-1], matrix[-1]
    return tuple(map(int, names)), matrix, None


def _task_samples(circuit: Circuit, raw: Sequence[Any]) -> TaskSamples:
    tokens, activations = raw
    stored = {}
    for location, kept in circuit.nodes.items():
        by_channel = _by_channel(activations.get(str(location)) or {}) if kept else {}
        for channel in kept:
            if channel in by_channel:
                node = Node(location, channel)
                stored[node] = _all_finite(by_channel[channel], node)
                if by_channel[channel].shape != tokens.shape:
                    raise ValueError(f"{node} has another shape than the tokens")
    _all_finite(tokens, "the tokens")
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
            _all_finite(activations, "a document")
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
