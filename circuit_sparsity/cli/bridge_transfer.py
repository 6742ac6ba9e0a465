"""``bridge-transfer``: an edit of a circuit's nodes carried to the dense model, beside controls."""

import argparse
from statistics import fmean
from typing import TYPE_CHECKING

from circuit_sparsity.cli.answer import Answer, Say, table
from circuit_sparsity.store import Store

if TYPE_CHECKING:
    from circuit_sparsity.bridges.transfer import AtStrength
    from circuit_sparsity.circuits.recipe import Level

DRAWS = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    for name, example in (
        ("sparse", "bridge_main"),
        ("dense", "dense"),
        ("task", "single_double_quote"),
        ("sweep", "masks"),
        ("k", "k43_seed0"),
    ):
        parser.add_argument(name, metavar=name.upper(), help=f"such as {example}")
    parser.add_argument(
        "nodes", metavar="NODE", nargs="+", help="of the circuit, such as 2.mlp.act_in:18"
    )
    parser.add_argument(
        "--strength", type=float, nargs="+", required=True, metavar="S", help="1 is the whole edit"
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--set", dest="value", type=float, help="set the nodes to this value")
    how.add_argument("--scale", type=float, help="scale the nodes by this")
    how.add_argument("--off", action="store_true", help="hold the nodes at their means")
    parser.add_argument(
        "--gains",
        action="store_true",
        help="carry the change of the stream itself: the norms' gains count (published: they do "
        "not)",
    )
    parser.add_argument(
        "--draws", type=int, default=DRAWS, help=f"random channels and directions ({DRAWS})"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the random ones")


def run(arguments: argparse.Namespace, say: Say) -> Answer:
    if arguments.draws < 1:
        raise ValueError(f"--draws is {arguments.draws}; expected at least 1")

    from circuit_sparsity.bridges.pair import open_pair
    from circuit_sparsity.bridges.transfer import NodeEdit, transfer
    from circuit_sparsity.core.names import Node
    from circuit_sparsity.experiment.opening import open_circuit

    store = Store.from_environment()
    circuit = arguments.sparse, arguments.task, arguments.sweep, arguments.k
    pair = open_pair(store, arguments.sparse, arguments.dense)
    opened = open_circuit(*circuit, store)
    nodes = opened.circuit.require([Node.parse(text) for text in arguments.nodes])
    level = _level(arguments)
    say(f"{len(arguments.strength)} strengths, {2 * arguments.draws} controls each ...")
    found = transfer(
        pair,
        opened.batch,
        [NodeEdit(node, level) for node in nodes],
        arguments.strength,
        arguments.draws,
        opened.means,
        arguments.seed,
        arguments.gains,
    )
    edit = "the other class's value" if level is None else level.in_words
    data = {
        "nodes": list(map(str, nodes)),
        "edit": edit,
        "prompts": len(opened.batch),
        "draws": arguments.draws,
        "gains": arguments.gains,
        "strengths": [_data(one) for one in found],
    }
    names = ", ".join(map(str, nodes))
    head = ("strength", "sparse", "dense", "random channels", "random directions")
    rows = [tuple(f"{value:.3f}" for value in _data(one).values()) for one in found]
    return Answer(data, (f"{names}: {edit}; p(right), {opened.batch_name}", *table(head, rows)))


def _level(arguments: argparse.Namespace) -> "Level | None":
    """What the nodes are held at; None for the other class's value."""
    from circuit_sparsity.circuits.recipe import Level

    if arguments.off:
        return Level("mean")
    if arguments.value is not None:
        return Level("set", arguments.value)
    return None if arguments.scale is None else Level("scale", arguments.scale)


def _data(one: "AtStrength") -> dict[str, float]:
    return {
        "strength": one.strength,
        "sparse_p_right": one.sparse_p_right,
        "dense_p_right": one.dense_p_right,
        "random_channels_p_right": fmean(one.random_channels),
        "random_directions_p_right": fmean(one.random_directions),
    }
