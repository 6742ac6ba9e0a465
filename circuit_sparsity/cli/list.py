"""``list``: every model and circuit that is here or known to be in the container."""

import argparse
import time

from circuit_sparsity.cli.answer import Answer, Say, table
from circuit_sparsity.store import Store, Where
from circuit_sparsity.store.entries import Entry, Place, entries
from circuit_sparsity.store.progress import size_in_words, time_in_words

_HEAD = ("what", "model", "task", "sweep", "k", "where", "size", "last used", "licence")
_WHERE: dict[Place, Where] = {  # the words for a person, and those for a program
    "made here": "local",
    "downloaded": "cached",
    "ships with the project": "shipped",
    "partly here": "remote",
    "not here": "remote",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", help="only what belongs to this model")
    parser.add_argument("--here", action="store_true", help="only what is on this machine")
    parser.add_argument("--refresh", action="store_true", help="ask the container what it holds")


def run(arguments: argparse.Namespace, say: Say) -> Answer:
    store = Store.from_environment()
    if arguments.refresh:
        say(store.refresh().note)
    licence = store.catalogue.licence
    shown = [
        entry
        for entry in entries(store)
        if arguments.model in (None, entry.model) and (entry.here or not arguments.here)
    ]
    cells = [_cells(entry, licence) for entry in shown]
    data = {"entries": [_data(entry, licence) for entry in shown], "folder": str(store.folder)}
    return Answer(data, (*table(_HEAD, cells), "", _folder(store)))


def _data(entry: Entry, licence: str) -> dict[str, object]:
    task, sweep, k = entry.circuit
    return {
        "what": entry.kind,
        "model": entry.model,
        "task": task,
        "sweep": sweep,
        "k": k,
        "where": _WHERE[entry.place],
        "partly_here": entry.place == "partly here",
        "size": entry.size,
        "last_used": entry.last_used,
        "licence": entry.licence(licence),
        "files": [item.name for item in entry.items],
    }


def _cells(entry: Entry, licence: str) -> tuple[str, ...]:
    used = "" if entry.last_used is None else _ago(time.time() - entry.last_used)
    names = (entry.model or "", *(part or "" for part in entry.circuit))
    size = size_in_words(entry.size)
    return (entry.kind, *names, entry.place, size, used, entry.licence(licence))


def _ago(seconds: float) -> str:
    """
    >>> _ago(75.0), _ago(7200.0), _ago(200_000.0)
    ('1 min 15 s ago', '2 h ago', '2 d ago')
    """
    if seconds >= 2 * 86_400:
        return f"{seconds // 86_400:.0f} d ago"
    return f"{seconds // 3600:.0f} h ago" if seconds >= 3600 else f"{time_in_words(seconds)} ago"


def _folder(store: Store) -> str:
    usage = store.usage()
    return (
        f"downloads {size_in_words(usage.downloaded)}, made here "
        f"{size_in_words(usage.made_here)}, unfinished {size_in_words(usage.unfinished)} in "
        f"{store.folder} (CIRCUIT_SPARSITY_CACHE names another folder); "
        f"{size_in_words(usage.free)} free there"
    )
