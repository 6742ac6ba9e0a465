"""``list``: every circuit that is here or known to be in the container."""

import argparse
import dataclasses

from circuit_sparsity.commands.answer import Answer, Say, table
from circuit_sparsity.store import Store

HELP = "show models and circuits, and where they are"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", help="only this model's circuits")
    parser.add_argument("--refresh", action="store_true", help="ask the container what it holds")


def run(arguments: argparse.Namespace, say: Say) -> Answer:
    store = Store.from_environment()
    if arguments.refresh:
        say(store.refresh().note)
    rows = [row for row in store.rows() if arguments.model in (None, row.model)]
    data = [dataclasses.asdict(row) for row in rows]
    cells = [(row.model, row.task, row.sweep, row.k, row.where) for row in rows]
    return Answer(data, table(("model", "task", "sweep", "k", "where"), cells))
