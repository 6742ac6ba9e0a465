"""Files gathered into what people speak of: circuits and models."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from circuit_sparsity.store import paths
from circuit_sparsity.store.local import PLACES, Item, Where


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
