"""``cut``: the circuits of a stored run at any number of nodes, each with losses of its own."""

import argparse
from typing import TYPE_CHECKING

from circuit_sparsity.cli.answer import Answer, Say, table
from circuit_sparsity.cli.arguments import check_store, whole_number
from circuit_sparsity.store import Store

if TYPE_CHECKING:
    from circuit_sparsity.pruning.any_k import Member

_HEAD = ("k", "nodes", "edges", "loss", "test loss", "seconds", "from")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    for name, example in (
        ("model", "starter"),
        ("task", "single_double_quote"),
        ("sweep", "full"),
        ("k", "k24_seed0_full: the stored circuit whose run is cut"),
    ):
        parser.add_argument(name, metavar=name.upper(), help=f"such as {example}")
    parser.add_argument(
        "--k",
        dest="sizes",
        type=whole_number(1),
        nargs="+",
        metavar="N",
        default=[],
        help="numbers of nodes",
    )
    parser.add_argument(
        "--edges",
        type=whole_number(0),
        nargs="+",
        metavar="N",
        default=[],
        help="for each, the largest circuit of the run with at most so many edges",
    )
    parser.add_argument(
        "--refine",
        action="store_true",
        help="make the run's family anew, a refined circuit of every size, and keep it (minutes)",
    )


def run(arguments: argparse.Namespace, say: Say) -> Answer:
    if not arguments.sizes and not arguments.edges:
        raise ValueError("give --k with one or more numbers of nodes, or --edges")
    store = Store.from_environment()
    if arguments.refine:
        check_store(store)

    from circuit_sparsity.experiment.opening import open_stored, task_of
    from circuit_sparsity.pruning.any_k import FROM_RANKING, open_run, refine_run

    names = arguments.model, arguments.task, arguments.sweep, arguments.k
    circuit = open_stored(store, *names).circuit
    opened = open_run(store, circuit, task_of(store, circuit))
    if arguments.refine:
        opened = refine_run(
            store, opened, lambda at: say(f"{at.stage} {at.done} of {at.of}: {at.nodes} nodes")
        )
    sizes = [*arguments.sizes, *map(opened.most_nodes_with, arguments.edges)]
    found = [opened.member(k) for k in sizes]
    lines = [f"{circuit.title}, in nats per sequence", *table(_HEAD, list(map(_cells, found)))]
    if any(one.source == FROM_RANKING for one in found):
        lines.append(
            "note: sizes from the ranking are not refined; --refine makes the run's family"
            if opened.family is None
            else f"note: the family has {opened.family.most} nodes; the ranking has those above"
        )
    lines += [f"LOOK OUT: {one.trouble}" for one in found if one.trouble]
    return Answer(list(map(_data, found)), tuple(lines))


def _data(member: "Member") -> dict[str, object]:
    return {
        "k": member.k,
        "nodes": member.circuit.size,
        "edges": member.edges,
        "circuit_loss": member.loss,
        "test_loss": member.test_loss,
        "seconds": member.seconds,
        "source": member.source,
        "troubles": [member.trouble] if member.trouble else [],
    }


def _cells(member: "Member") -> tuple[str, ...]:
    losses = f"{member.loss:.4f}", f"{member.test_loss:.4f}"
    numbers = str(member.k), str(member.circuit.size), str(member.edges)
    return (*numbers, *losses, f"{member.seconds:.2f}", member.source)
