"""``ablate``: what ablating nodes and edges does to a circuit, one by one and together."""

import argparse
from typing import TYPE_CHECKING

from circuit_sparsity.cli.answer import Answer, Say, table
from circuit_sparsity.cli.arguments import add_circuit, add_device, open_named

if TYPE_CHECKING:
    from circuit_sparsity.experiment.experiment import Effect


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_circuit(parser)
    add_device(parser)
    parser.add_argument(
        "part",
        metavar="NODE",
        nargs="*",
        help="such as 1.mlp.post_act:180, or an edge as 'source>target', in quotes",
    )
    parser.add_argument("--all", action="store_true", help="each kept node alone")
    parser.add_argument("--edges", action="store_true", help="each edge alone")
    parser.add_argument("--fill", choices=["mean", "zero"], default="mean", help="held at what")


def run(arguments: argparse.Namespace, say: Say) -> Answer:
    if arguments.all + arguments.edges + bool(arguments.part) != 1:
        raise ValueError(
            "name nodes or edges, or give --all for each kept node alone, or --edges for each edge"
        )
    opened, fill = open_named(arguments), arguments.fill
    given = [opened.part(text) for text in arguments.part]
    each = given or (opened.edges if arguments.edges else opened.circuit.node_list)
    effects = opened.ablate_each(each, lambda done, of: say(f"{done} of {of}"), fill=fill)
    kind = "edges" if arguments.edges else "nodes"
    data = {
        "circuit_loss": opened.of_circuit.loss,
        "prompts": len(opened.batch),
        "fill": fill,
        kind: [
            {kind[:-1]: str(effect.parts[0]), "loss": effect.after.loss, "delta": effect.delta}
            for effect in effects
        ],
    }
    together = opened.ablate(given, fill) if len(given) > 1 else None
    if together:
        data |= {"set_loss": together.after.loss, "set_delta": together.delta}
    loss = f"loss {opened.of_circuit.loss:.4f} nats per sequence"
    lines = [
        f"{opened.circuit.title}: {loss} on {opened.batch_name}",
        *table((kind[:-1], "loss", "delta"), [_cells(effect) for effect in effects]),
    ]
    if together:
        lines.append(f"all {len(given)} together: {together.after.loss:.4f} {together.delta:+.4f}")
    return Answer(data, tuple(lines))


def _cells(effect: "Effect") -> tuple[str, str, str]:
    return str(effect.parts[0]), f"{effect.after.loss:.4f}", f"{effect.delta:+.4f}"
