"""``verify``: read downloads again and compare them with what was downloaded."""

import argparse

from circuit_sparsity.cli.answer import Answer, Say
from circuit_sparsity.store import Damaged, NotHere, Progress, Store
from circuit_sparsity.store.progress import size_in_words


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "path", metavar="PATH", nargs="*", help="such as models/csp_yolo2; none: every download"
    )


def run(arguments: argparse.Namespace, say: Say) -> Answer:
    store = Store.from_environment()
    whole, damaged = list[str](), dict[str, str]()
    for name in _names(store, arguments.path):
        try:
            whole.append(store.verify(name, lambda now: say(_line(now))))
        except Damaged as trouble:
            damaged[name] = str(trouble)
    if damaged:
        count = f"{len(damaged)} of {len(whole) + len(damaged)} files are damaged"
        raise Damaged("\n".join((count, *damaged.values())))
    return Answer({"whole": whole}, (*whole, f"{len(whole)} files are whole"))


def _names(store: Store, asked: list[str]) -> list[str]:
    """Downloads, or every file on this machine at or under the paths that were asked for."""
    here = [item for item in store.items() if item.where != "remote"]
    if not asked:
        return [item.name for item in here if item.where == "cached"]
    names = list[str]()
    for path in asked:
        found = [item.name for item in here if f"{item.name}/".startswith(f"{path.rstrip('/')}/")]
        if not found:
            raise NotHere(f"{path} is not on this machine, so there is nothing to verify")
        names += found
    return list(dict.fromkeys(names))


def _line(now: Progress) -> str:
    return f"{now.name}: {size_in_words(now.done)} of {size_in_words(now.total)} read"
