"""``ablate``: what mean-ablating nodes does to a circuit, one by one and together."""

import argparse

from circuit_sparsity.commands.answer import Answer, Say, add_circuit, open_named, table
from circuit_sparsity.experiment import Effect
from circuit_sparsity.names import Node

HELP = "mean-ablate nodes of a circuit and report the loss"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_circuit(parser)
    parser.add_argument("node", metavar="NODE", nargs="*", help="such as 1.mlp.post_act:180")
    parser.add_argument("--all", action="store_true", help="each kept node alone")


def run(arguments: argparse.Namespace, say: Say) -> Answer:
    if arguments.all == bool(arguments.node):
        raise ValueError("name at least one node, or give --all for each kept node alone")
    it = open_named(arguments)
    given = [Node.parse(text) for text in arguments.node]
    effects = it.ablate_each(
        given or it.circuit.node_list, lambda done, of: say(f"{done} of {of} nodes")
    )
    data = {
        "circuit_loss": it.of_circuit.loss,
        "prompts": len(it.batch),
        "nodes": [
            {"node": str(effect.parts[0]), "loss": effect.after.loss, "delta": effect.delta}
            for effect in effects
        ],
    }
    together = it.ablate(given) if len(given) > 1 else None
    if together:
        data |= {"set_loss": together.after.loss, "set_delta": together.delta}
    lines = [
        f"{it.circuit.title}: loss {it.of_circuit.loss:.4f} nats per sequence on {it.batch_name}",
        *table(("node", "loss", "delta"), [_cells(effect) for effect in effects]),
    ]
    if together:
        lines.append(f"all {len(given)} together: {together.after.loss:.4f} {together.delta:+.4f}")
    return Answer(data, tuple(lines))


def _cells(effect: Effect) -> tuple[str, str, str]:
    return str(effect.parts[0]), f"{effect.after.loss:.4f}", f"{effect.delta:+.4f}"
