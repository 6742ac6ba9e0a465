"""``list``: every circuit that is here or known to be in the container."""

import argparse
import dataclasses

from circuit_sparsity.commands.answer import Answer, Say, table
from circuit_sparsity.store import Store

HELP = "show models and circuits, and where they are"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", help="only this model's circuits")


def run(arguments: argparse.Namespace, say: Say) -> Answer:
    rows = [
        row for row in Store.from_environment().rows() if arguments.model in (None, row.model)
    ]
    data = [dataclasses.asdict(row) for row in rows]
    cells = [(row.model, row.task, row.sweep, row.k, row.where) for row in rows]
    return Answer(data, table(("model", "task", "sweep", "k", "where"), cells))
