"""``interchange``: how often patching nodes from the pair's other prompt flips the answer."""

import argparse
from typing import TYPE_CHECKING

from circuit_sparsity.cli.answer import Answer, Say, table
from circuit_sparsity.cli.arguments import add_circuit, open_named, whole_number

if TYPE_CHECKING:
    from circuit_sparsity.patching.interchange import Interchange


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_circuit(parser)
    parser.add_argument(
        "node",
        metavar="NODE",
        nargs="*",
        help="patched together, such as 0.attn.k:210; without nodes each kept one alone",
    )
    parser.add_argument("--draws", type=whole_number(1), default=20, help="random sets (20)")
    parser.add_argument("--seed", type=whole_number(0), default=0, help="of the random sets (0)")


def run(arguments: argparse.Namespace, say: Say) -> Answer:
    experiment = open_named(arguments)
    from circuit_sparsity.patching.interchange import interchange, interchange_each

    def progress(done: int, of: int) -> None:
        say(f"{done} of {of}")

    if arguments.node:
        found = [interchange(experiment, arguments.node, arguments.draws, arguments.seed, progress)]
    else:
        found = sorted(interchange_each(experiment, progress), key=lambda one: -one.accuracy)
    data = {
        "prompts": found[0].prompts,
        "counted": found[0].counted,
        "sets": [
            {
                "nodes": [str(node) for node in one.nodes],
                "accuracy": one.accuracy,
                "random": one.of_random,
                "random_sets": len(one.random),
            }
            for one in found
        ],
    }
    head = (
        f"share of {found[0].counted} prompts (of {found[0].prompts}) whose answer becomes the "
        "other prompt's"
    )
    return Answer(data, (head, *table(("nodes", "flipped", "random sets"), [*map(_row, found)])))


def _row(one: "Interchange") -> tuple[str, ...]:
    names = " ".join(map(str, one.nodes))
    return names, f"{one.accuracy:.3f}", f"{one.of_random:.3f} (mean of {len(one.random)})"
