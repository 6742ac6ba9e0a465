"""``table``: every task by every model, as one document made from what is stored."""

import argparse
from pathlib import Path

from circuit_sparsity.cli.answer import Answer, Say
from circuit_sparsity.cli.arguments import check_out
from circuit_sparsity.store import Store
from circuit_sparsity.store.atomic import write_atomically


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("models", metavar="MODEL", nargs="*", help="those with a card")
    parser.add_argument("--out", metavar="FILE", help="a Markdown file; without, it is printed")


def run(arguments: argparse.Namespace, say: Say) -> Answer:
    store, out = Store.from_environment(), arguments.out and Path(arguments.out)
    if out:
        check_out(out)

    from circuit_sparsity.evidence.claims.table import cells, markdown, models_of

    models = tuple(arguments.models) or models_of(store)
    unknown = [name for name in models if store.path_of_model(name) is None]
    if unknown:
        raise ValueError(
            f"no model {', '.join(unknown)} is on this machine; "
            "`python -m circuit_sparsity list` shows what is"
        )
    words = {model: [list(cell.words) for cell in cells(store, model)] for model in models}
    data = {"models": words}
    text = markdown(store, models)
    if out is None:
        return Answer(data, tuple(text.rstrip("\n").split("\n")))
    write_atomically(out, lambda file: file.write(text.encode()))
    return Answer(data, (f"{len(models)} models written to {arguments.out}",))
