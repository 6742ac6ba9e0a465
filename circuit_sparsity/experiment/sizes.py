"""A stored circuit in a few numbers, kept apart: to read its whole file takes up to a second.

The numbers of what ships lie in one file beside it, made by `python -m
circuit_sparsity.experiment.sizes`. Those of other circuits are kept in the user's folder when they
are read first, and are good for the version of the file that they were read from.
"""

import contextlib
import math
from dataclasses import asdict, dataclass
from pathlib import Path

from circuit_sparsity.experiment.opening import open_stored
from circuit_sparsity.release import StoredCircuit
from circuit_sparsity.store import Damaged, NotHere, Store, paths
from circuit_sparsity.store.json_files import read_json_as, write_json
from circuit_sparsity.store.manifest import BOOKKEEPING

SHIPPED = "sizes.json"  # in the folder of what ships


@dataclass(frozen=True)
class Sized:
    """What of a stored circuit decides whether it counts, and how large it is."""

    task: str
    sweep: str
    k: str
    nodes: int
    edges: int
    loss: float  # stored, nats per sequence; NaN where the file does not say
    target: float | None  # that it was found for
    model_loss: float = math.nan  # of the whole model, as `loss`


@dataclass(frozen=True)
class _Kept:
    """As it lies in a file: what is not stored is null."""

    bytes: int  # of the circuit's file
    changed: int  # when that was, in nanoseconds; 0 for what ships
    nodes: int
    edges: int
    loss: float | None
    target: float | None
    model_loss: float | None


@dataclass(frozen=True)
class _Every:
    circuits: dict[str, _Kept]  # by the name of the circuit's file


def sized(stored: StoredCircuit) -> Sized:
    """Few numbers of a large value."""
    circuit = stored.circuit
    return Sized(
        circuit.task,
        circuit.sweep,
        circuit.k,
        circuit.size,
        len(stored.edges),
        stored.circuit_loss,
        circuit.found.target,
        stored.model_loss,
    )


def read_sized(store: Store, model: str, task: str, sweep: str, k: str) -> Sized:
    """The numbers of a circuit that is here, from where they are kept or from its file.

    Raises what ``open_stored`` raises.
    """
    path = store.path_of_viz(model, task, sweep, k)
    if path is None:
        raise NotHere(f"{paths.viz_name(model, task, sweep, k)} is not on this machine")
    name = paths.viz_name(model, task, sweep, k)
    is_shipped = path.is_relative_to(store.shipped)
    known = _shipped(store).get(name) if is_shipped else _read(_place(store, name))
    if known is None or (known.bytes, known.changed) != _version(path, is_shipped):
        known = _kept(sized(open_stored(store, model, task, sweep, k)), path, is_shipped)
        if not is_shipped:
            with contextlib.suppress(OSError):  # a folder that cannot be written: read again
                write_json(_place(store, name), asdict(known))
    return Sized(
        task,
        sweep,
        k,
        known.nodes,
        known.edges,
        _number(known.loss),
        known.target,
        _number(known.model_loss),
    )


def write_shipped(store: Store) -> Path:
    """Write down the numbers of every circuit that ships."""
    every: dict[str, object] = {}
    for row in store.rows():
        if row.where == "shipped":
            names = (row.model, row.task, row.sweep, row.k)
            path = store.shipped / paths.viz_name(*names)
            every[paths.viz_name(*names)] = asdict(
                _kept(sized(open_stored(store, *names)), path, True)
            )
    write_json(store.shipped / SHIPPED, {"circuits": dict(sorted(every.items()))})
    return store.shipped / SHIPPED


def _shipped(store: Store) -> dict[str, _Kept]:
    try:
        kept = read_json_as(store.shipped / SHIPPED, _Every, "sizes of what ships")
    except Damaged:
        return {}
    return {} if kept is None else kept.circuits


def _read(path: Path) -> _Kept | None:
    try:
        return read_json_as(path, _Kept, "a circuit's size")
    except Damaged:
        return None  # written anew


def _place(store: Store, name: str) -> Path:
    return store.folder / BOOKKEEPING / "sizes" / f"{name}.json"


def _kept(one: Sized, path: Path, is_shipped: bool) -> _Kept:
    loss, model_loss = _or_none(one.loss), _or_none(one.model_loss)
    version = _version(path, is_shipped)
    return _Kept(*version, one.nodes, one.edges, loss, one.target, model_loss)


def _version(path: Path, is_shipped: bool) -> tuple[int, int]:
    """A file's length and time; a copy of what ships has another time and the same content."""
    known = path.stat()
    return known.st_size, 0 if is_shipped else known.st_mtime_ns


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value


def _number(value: float | None) -> float:
    return math.nan if value is None else value


if __name__ == "__main__":
    write_shipped(Store.from_environment())
