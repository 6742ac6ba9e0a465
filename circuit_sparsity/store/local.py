"""What is on this machine: a walk over what ships and over the user's folder."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from circuit_sparsity.store import manifest, paths

# shipped: came with the project; cached: downloaded, or put into the user's folder by hand;
# local: made here by training or pruning; remote: in the container, as far as is known
Where = Literal["shipped", "cached", "local", "remote"]

# How a reader would count: own results first. The same order decides between two copies.
PLACES: tuple[Where, ...] = ("local", "cached", "shipped", "remote")


@dataclass(frozen=True)
class Item:
    """One file of the layout."""

    name: str  # relative path, as in the container
    where: Where
    size: int | None  # bytes; None when nobody has said
    last_used: float | None = None  # seconds since 1970; None when unknown


def shipped_items(shipped: Path) -> Iterator[Item]:
    """Every file that came with the project."""
    for name, size in _files(shipped):
        yield Item(name, "shipped", size)


def own_items(folder: Path) -> Iterator[Item]:
    """Every file of the user's folder, whether downloaded or made here."""
    marked: dict[Path, bool] = {}
    for name, size in _files(folder):
        parent = (folder / name).parent
        if parent not in marked:
            marked[parent] = (parent / manifest.MADE_HERE).is_file()
        where = "local" if marked[parent] else "cached"
        yield Item(name, where, size, manifest.last_used(folder, name))


def is_made_here(folder: Path, name: str) -> bool:
    """Whether the file lies in a folder that training or pruning wrote."""
    return ((folder / name).parent / manifest.MADE_HERE).is_file()


def _files(root: Path) -> Iterator[tuple[str, int]]:
    """Name and size of every file of the layout under `root`; drafts and notes are left out."""
    for top in paths.TOPS:
        yield from _under(root / top, top)


def _under(folder: Path, name: str) -> Iterator[tuple[str, int]]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    for entry in entries:
        inner = f"{name}/{entry.name}"
        if entry.name == manifest.MADE_HERE or not paths.is_allowed(inner):
            continue
        if entry.is_dir():  # ends in loops of links too: no allowed name is that deep
            yield from _under(folder / entry.name, inner)
        elif entry.is_file():
            yield inner, entry.stat().st_size
