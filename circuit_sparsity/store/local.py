"""What is on this machine: a walk over what ships and over the user's folder."""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from circuit_sparsity.store import manifest, paths
from circuit_sparsity.store.atomic import MADE_HERE

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
            marked[parent] = (parent / MADE_HERE).is_file()
        where = "local" if marked[parent] else "cached"
        yield Item(name, where, size, manifest.last_used(folder, name))


def is_made_here(folder: Path, name: str) -> bool:
    """Whether the file lies in a folder that training or pruning wrote."""
    return ((folder / name).parent / MADE_HERE).is_file()


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
        if entry.name == MADE_HERE or not paths.is_allowed(inner):
            continue
        if entry.is_dir():  # ends in loops of links too: no allowed name is that deep
            yield from _under(folder / entry.name, inner)
        elif entry.is_file():
            yield inner, entry.stat().st_size


@dataclass(frozen=True)
class Row:
    """One circuit: a model, a task, a sweep, and the folder that says how many nodes."""

    model: str
    task: str
    sweep: str
    k: str  # a number, `k_optim`, or a name of the user's own
    where: Where
    size: int | None  # bytes of its file; None when nobody has said


@dataclass(frozen=True)
class ModelRow:
    """One model: its config and its weights, in the dense form or in the compact one."""

    name: str
    where: Where  # "remote" until both config and weights are in one folder of this machine
    size: int | None  # bytes of its files in that place; None when one of them is unknown
    files: tuple[str, ...]  # relative paths of its files in that place


def merged(items: Iterable[Item]) -> list[Item]:
    """One item a name: own results before downloads before what ships before the container."""
    best: dict[str, Item] = {}
    for item in items:
        known = best.get(item.name)
        if known is None or PLACES.index(item.where) < PLACES.index(known.where):
            best[item.name] = item
    return sorted(best.values(), key=lambda item: paths.natural(item.name))


def circuit_rows(items: Iterable[Item]) -> list[Row]:
    """The circuits among files, one row each, in natural order."""
    rows = [
        Row(*circuit, where=item.where, size=item.size)
        for item in merged(items)
        if (circuit := paths.circuit_of(item.name))
    ]
    return sorted(
        rows, key=lambda row: tuple(map(paths.natural, (row.model, row.task, row.sweep, row.k)))
    )


def model_rows(items: Iterable[Item]) -> list[ModelRow]:
    """The models among files: each at the best place that has it whole."""
    places: dict[tuple[str, Where], list[Item]] = defaultdict(list)
    for item in items:
        if item.name.startswith("models/") and item.name.count("/") == 2:
            places[item.name.split("/")[1], item.where].append(item)
    best: dict[str, ModelRow] = {}
    for (name, where), files in places.items():
        if not is_whole({item.name.rsplit("/", 1)[1] for item in files}):
            continue
        known = best.get(name)
        if known is None or PLACES.index(where) < PLACES.index(known.where):
            best[name] = _model_row(name, where, files)
    return sorted(best.values(), key=lambda row: paths.natural(row.name))


def _model_row(name: str, where: Where, files: list[Item]) -> ModelRow:
    sizes = [item.size for item in files]
    total = sum(size or 0 for size in sizes)
    names = tuple(sorted(item.name for item in files))
    return ModelRow(name, where, None if None in sizes else total, names)


def is_whole(files: set[str]) -> bool:
    """Whether a model can be opened from these files of its folder.

    >>> is_whole({"beeg_config.json", "model.safetensors"}), is_whole({"final_model.pt"})
    (True, False)
    """
    return paths.CONFIG in files and bool({paths.DENSE_WEIGHTS, paths.COMPACT_WEIGHTS} & files)
