"""Fig. 9: an edit of a circuit's strongest read carried to the dense model; hybrids by the card."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from circuit_sparsity.bridges.effects import is_carried
from circuit_sparsity.bridges.pair import Pair, open_pair, pairs_here
from circuit_sparsity.bridges.transfer import NodeEdit, transfer
from circuit_sparsity.core.names import Node
from circuit_sparsity.evidence.claims.values import EditCurve, HybridLosses, Missing
from circuit_sparsity.experiment.experiment import Experiment
from circuit_sparsity.experiment.opening import open_circuit, open_stored
from circuit_sparsity.experiment.scores import card_of
from circuit_sparsity.store import Store
from circuit_sparsity.store.local import Row

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
DRAWS = 20
LARGEST = 1200  # nodes: of larger circuits no read is picked


def of_bridges(
    store: Store,
    tasks: Sequence[str],
    missing: list[Missing],
    report: Callable[[int, int, str], object] = lambda done, of, what: None,
    cancel: threading.Event | None = None,
) -> tuple[tuple[HybridLosses, ...], tuple[EditCurve, ...]]:
    """Both claims for every pair here, on the smallest stored circuit of each of ``tasks``.

    Raises Cancelled when ``cancel`` is set meanwhile.
    """
    hybrids: list[HybridLosses] = []
    curves: list[EditCurve] = []
    for name in pairs_here(store)[0]:
        try:
            pair = open_pair(store, name.sparse, name.dense)
        except ValueError as error:
            missing.append(Missing(f"bridges {name.sparse} to {name.dense}", str(error)))
            continue
        hybrids += _hybrids(store, pair, missing)
        rows = list(_smallest(store, name.sparse, tasks))
        for done, row in enumerate(rows):
            report(done, len(rows), f"bridge to {name.dense}: {row.task}")
            opened = open_circuit(row.model, row.task, row.sweep, row.k, store)
            curves += _curve(pair, opened, missing, cancel)
    return tuple(hybrids), tuple(curves)


def strongest_read(opened: Experiment, pair: Pair) -> Node:
    """The block's read, of those that the bridges carry, whose ablation costs the circuit most.

    Raises ValueError where the circuit has none.
    """
    reads = [
        node
        for node in opened.circuit.node_list
        if node.location.kind == "act_in" and is_carried(pair, node)
    ]
    if not reads:
        raise ValueError(f"{opened.circuit.title} keeps no read that the bridges carry")
    costs = opened.ablate_each(reads)
    return max(zip(reads, costs, strict=True), key=lambda both: both[1].delta)[0]


def _smallest(store: Store, model: str, tasks: Sequence[str]) -> Iterator[Row]:
    """The circuit of fewest nodes of each task that has one here."""

    def size(row: Row) -> int:
        return open_stored(store, row.model, row.task, row.sweep, row.k).circuit.size

    rows = [row for row in store.rows() if row.model == model and row.where != "remote"]
    for task in tasks:
        found = [row for row in rows if row.task == task]
        if found:
            yield min(found, key=size)


def _curve(
    pair: Pair, opened: Experiment, missing: list[Missing], cancel: threading.Event | None
) -> Iterator[EditCurve]:
    circuit = opened.circuit
    try:
        if circuit.size > LARGEST:
            raise ValueError(f"{circuit.size:,} nodes; a read is picked of at most {LARGEST:,}")
        node = strongest_read(opened, pair)
        found = transfer(
            pair, opened.batch, [NodeEdit(node)], STRENGTHS, DRAWS, opened.means, cancel=cancel
        )
    except ValueError as error:
        missing.append(Missing(f"an edit of {circuit.title} over a bridge", str(error)))
        return
    yield EditCurve(
        circuit.title,
        pair.sparse_name,
        pair.dense_name,
        circuit.task,
        str(node),
        len(opened.batch),
        STRENGTHS,
        tuple(at.sparse_p_right for at in found),
        tuple(at.dense_p_right for at in found),
        tuple(fmean(at.random_channels) for at in found),
        tuple(fmean(at.random_directions) for at in found),
    )


def _hybrids(store: Store, pair: Pair, missing: list[Missing]) -> Iterator[HybridLosses]:
    told = (card_of(store, pair.sparse_name) or {}).get("bridges")
    if not told:
        what = f"hybrids of {pair.sparse_name} and {pair.dense_name}"
        missing.append(Missing(what, "the sparse model has no card of its bridges"))
        return
    trained, ridge = told["trained"], told["ridge"]
    yield HybridLosses(
        pair.sparse_name,
        pair.dense_name,
        _gap(trained, "loss_dense_to_sparse", "loss_sparse"),
        _gap(trained, "loss_sparse_to_dense", "loss_dense"),
        _gap(ridge, "loss_dense_to_sparse", "loss_sparse"),
        _gap(ridge, "loss_sparse_to_dense", "loss_dense"),
        trained["tokens"],
    )


def _gap(told: Mapping[str, Any], of_hybrids: str, of_model: str) -> float:
    """How far the worst site's hybrid is above the model that it ends in."""
    return max(site[of_hybrids] for site in told["sites"]) - told[of_model]
