"""Values into ``viz_data.pt``: keys, types, orders and the doubled losses of the release.

The released viewer opens what is written here, given documents for every node.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float16
from torch import Tensor

from circuit_sparsity.core.names import Node
from circuit_sparsity.release.errors import ReleaseError
from circuit_sparsity.release.reading import BIAS, DOUBLED
from circuit_sparsity.release.values import Doc, EdgeMatrix, Extremes, StoredCircuit, TaskSamples
from circuit_sparsity.store.atomic import write_atomically

LARGEST_HALF = 65504.0
LARGEST_TOKEN = 2**15 - 1  # documents hold their tokens as int16


def write_viz(stored: StoredCircuit, path: str | Path) -> Path:
    """Write ``stored`` as a ``viz_data.pt`` of the release's format; the file is whole or not.

    Activations become float16. Raises ReleaseError when a node lacks its loss or its activations,
    and OSError when the disk is full or closed to us.
    """
    nodes = set(stored.circuit.node_list)
    for what, there in (
        ("loss", stored.node_losses),
        ("task activations", stored.task_samples.activations),
        ("task activations in the circuit", stored.task_samples_circuit.activations),
    ):
        missing = sorted(nodes - set(there))
        if missing:
            raise ReleaseError(
                f"{stored.title} cannot be written: {len(missing)} of {len(nodes)} nodes have no "
                f"{what}, the first is {missing[0]}; measure the circuit before it is written"
            )
    contents = viz_contents(stored)
    return write_atomically(Path(path), lambda file: torch.save(contents, file))


def viz_contents(stored: StoredCircuit) -> dict[str, Any]:
    """The dictionary that a ``viz_data.pt`` holds."""
    contents: dict[str, Any] = {
        "circuit_data": {
            str(location): torch.tensor(kept, dtype=torch.int64)
            for location, kept in stored.circuit.nodes.items()
        },
        "samples": _by_location(stored, stored.documents, _quantiles, torch.tensor),
        "importances": _importances(stored),
        "all_loss": [(point.iteration, DOUBLED * point.loss) for point in stored.search],
        "num_total_nodes": stored.total_nodes,
        "prune_config": _plain(stored.prune_config),
    }
    if stored.is_kiter_bug_fixed is not None:
        contents["is_kiter_bug_fixed"] = stored.is_kiter_bug_fixed
    return contents


def _importances(stored: StoredCircuit) -> dict[str, Any]:
    return {
        "beeg_model_config": _plain(stored.model_config),
        "loss": DOUBLED * stored.model_loss,
        "interv_loss": DOUBLED * stored.circuit_loss,
        "ch_interv_losses": {
            str(location): [DOUBLED * stored.node_losses[Node(location, c)] for c in kept]
            for location, kept in stored.circuit.nodes.items()
        },
        "layer_interv_losses": _doubled(stored.block_losses),
        "loc_interv_losses": _doubled(stored.location_losses),
        "pair_data": [
            _entry(matrix, DOUBLED * matrix.deltas, matrix.bias_deltas, DOUBLED)
            for matrix in stored.edge_matrices
        ],
        "pair_data_connections": [
            _entry(matrix, matrix.weights, matrix.bias_weights) for matrix in stored.edge_matrices
        ],
        "task_samples": _task_samples(stored, stored.task_samples),
        "task_samples_circuit": _task_samples(stored, stored.task_samples_circuit),
    }


def _doubled(losses: Mapping[Any, float]) -> dict[str, float]:
    return {str(name): DOUBLED * loss for name, loss in losses.items()}


def _entry(matrix: EdgeMatrix, rows: Tensor, bias: Tensor | None, factor: float = 1.0) -> list[Any]:
    names: list[int | str] = list(matrix.source_channels)
    if bias is not None:
        names.append(BIAS)
        rows = torch.cat((rows, factor * bias[None]))  # source+1 target
    pair = (str(matrix.source), str(matrix.target))
    return [rows.float().contiguous().clone(), names, list(matrix.target_channels), pair]


def _task_samples(stored: StoredCircuit, samples: TaskSamples) -> tuple[Tensor, dict[str, Any]]:
    activations = _by_location(stored, samples.activations, _half, int)
    return samples.tokens.long().contiguous().clone(), activations


def _by_location(
    stored: StoredCircuit, values: Mapping[Node, Any], write: Any, key: Any
) -> dict[str, dict[Any, Any]]:
    """``values`` as {location: {channel: value}}, every location a key."""
    return {
        str(location): {
            key(channel): write(values[Node(location, channel)])
            for channel in kept
            if Node(location, channel) in values
        }
        for location, kept in stored.circuit.nodes.items()
    }


def _quantiles(documents: Mapping[float, Extremes]) -> dict[float, tuple[list[Any], list[Any]]]:
    return {
        quantile: ([_doc(doc) for doc in found.bottom], [_doc(doc) for doc in found.top])
        for quantile, found in documents.items()
    }


def _doc(doc: Doc) -> tuple[Tensor, Tensor, int]:
    if int(doc.tokens.max()) > LARGEST_TOKEN:
        raise ReleaseError(
            f"a document has token {int(doc.tokens.max())}; the release's format holds tokens up "
            f"to {LARGEST_TOKEN}: such a model's circuits cannot be written in it"
        )
    return doc.tokens.to(torch.int16), _half(doc.activations), doc.position


def _half(activations: Tensor) -> Float16[Tensor, "..."]:
    """A float16 copy with memory of its own: a view would bring its whole base into the file."""
    clamped = activations.detach().cpu().clamp(-LARGEST_HALF, LARGEST_HALF)
    return clamped.to(torch.float16, copy=True).contiguous()


def _plain(value: Any) -> Any:
    """Containers and numbers of Python alone, which a weights-only reader lets in."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Iterable):
        return [_plain(item) for item in value]
    return str(value)
