"""The release's files as values, and values as the release's files."""

from circuit_sparsity.release.curves import Curve, read_curves
from circuit_sparsity.release.errors import ReleaseError
from circuit_sparsity.release.means import read_means, write_means
from circuit_sparsity.release.prompts import last_tokens, task_batch
from circuit_sparsity.release.reading import read_viz
from circuit_sparsity.release.values import (
    QUANTILES,
    Doc,
    EdgeMatrix,
    Extremes,
    SearchPoint,
    StoredBias,
    StoredCircuit,
    StoredEdge,
    TaskSamples,
)
from circuit_sparsity.release.writing import viz_contents, write_viz

__all__ = [
    "QUANTILES",
    "Curve",
    "Doc",
    "EdgeMatrix",
    "Extremes",
    "ReleaseError",
    "SearchPoint",
    "StoredBias",
    "StoredCircuit",
    "StoredEdge",
    "TaskSamples",
    "last_tokens",
    "read_curves",
    "read_means",
    "read_viz",
    "task_batch",
    "viz_contents",
    "write_means",
    "write_viz",
]
