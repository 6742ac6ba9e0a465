"""``clear``: delete downloads (and, when asked, own results) from the user's folder."""

import argparse

from circuit_sparsity.cli.answer import Answer, Say
from circuit_sparsity.store import Store
from circuit_sparsity.store.progress import size_in_words


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "path", metavar="PATH", nargs="*", help="such as models/csp_yolo2; none: every download"
    )
    parser.add_argument(
        "--own-results", action="store_true", help="with no PATH: also what was made here"
    )


def run(arguments: argparse.Namespace, say: Say) -> Answer:
    store = Store.from_environment()
    if arguments.path and arguments.own_results:
        raise ValueError("--own-results empties the whole folder: give it without a PATH")
    if arguments.path:
        freed = sum(store.remove(path) for path in arguments.path)
    else:
        freed = store.clear(arguments.own_results)
    free = store.usage().free
    data = {"freed": freed, "free": free, "folder": str(store.folder)}
    return Answer(
        data,
        (f"freed {size_in_words(freed)} in {store.folder}; {size_in_words(free)} free there now",),
    )
