"""Evidence on disk: ``evidence.json`` in the circuit's folder."""

import json
from pathlib import Path

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.evidence.evidence import Evidence
from circuit_sparsity.store import Store, paths
from circuit_sparsity.store.atomic import write_atomically

EVIDENCE = "evidence.json"


def write_evidence(evidence: Evidence, store: Store, circuit: Circuit) -> Path:
    """Write into the user's folder, whole or not at all; what ships is not touched."""
    names = circuit.model, circuit.task, circuit.sweep, circuit.k
    if not (store.folder / paths.viz_name(*names)).is_file():
        store.viz_folder(*names, {"what": "evidence"})  # a folder of our own, not of downloads
    path = paths.inside(store.folder, _name(circuit))
    text = json.dumps(evidence.to_dict(), indent=1, allow_nan=False) + "\n"
    return write_atomically(path, lambda file: file.write(text.encode()))


def read_evidence(store: Store, circuit: Circuit) -> Evidence | None:
    """What was stored of a circuit, or None; ValueError for a damaged file."""
    for root in (store.folder, store.shipped):
        path = root / _name(circuit)
        if path.is_file():
            try:
                return Evidence.from_dict(json.loads(path.read_text(encoding="utf-8")))
            except ValueError as error:
                raise ValueError(f"{path} cannot be read: {error}; delete it") from error
    return None


def _name(circuit: Circuit) -> str:
    viz = paths.viz_name(circuit.model, circuit.task, circuit.sweep, circuit.k)
    return f"{viz.rsplit('/', 1)[0]}/{EVIDENCE}"
