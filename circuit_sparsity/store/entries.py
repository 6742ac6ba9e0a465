"""Files gathered into the things that people list and choose, and scopes of such things."""

from collections import defaultdict
from collections.abc import Iterable, Set
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from circuit_sparsity.store import paths
from circuit_sparsity.store.download import part_path
from circuit_sparsity.store.errors import NotFound, StoreError
from circuit_sparsity.store.local import Item, Where, is_whole
from circuit_sparsity.store.store import Store


def files_for(
    store: Store,
    model: str | None = None,
    task: str | None = None,
    sweep: str | None = None,
    k: str | None = None,
    *,
    stored_only: bool = False,
) -> tuple[str, ...]:
    """Names of the files that are needed to run everything so chosen; no model: every file known.

    With ``stored_only`` just the circuits' own files, which hold what was measured when they were
    made. Nothing of a model that is known only by its documented name is left out: its model and
    its means are asked for. Raises NotFound when the choice is of nothing known.
    """
    model = paths.model_id(model) if model else model
    chosen = [
        row
        for row in store.rows()
        if all(
            wanted in (None, got)
            for wanted, got in (
                (model, row.model),
                (task, row.task),
                (sweep, row.sweep),
                (k, row.k),
            )
        )
    ]
    circuits = [paths.viz_name(row.model, row.task, row.sweep, row.k) for row in chosen]
    if model and task and sweep and k:
        circuits = [paths.viz_name(model, task, sweep, k)]  # also one that nobody has listed
    if stored_only:
        names = circuits
    else:
        known = {row.name for row in store.models()} | {row.model for row in chosen}
        models = [model] if model else sorted(known)
        listed = [item.name for item in store.items()]
        files = set(listed)
        names = [*circuits, *(name for one in models for name in _to_run(store, one, files))]
        names += [] if model else listed
    if not names or (task and not circuits):
        wanted = " · ".join(part for part in (model, task, sweep, k) if part)
        raise NotFound(
            f"nothing is known of {wanted or 'any circuit'}: refresh the catalogue with "
            "`python -m circuit_sparsity list --refresh`, or name model, task, sweep and k in full"
        )
    return tuple(dict.fromkeys(names))


def _to_run(store: Store, model: str, known: Set[str]) -> list[str]:
    """Model, tokenizer; means, training curve and bridges where they are known to exist."""
    bridges = paths.model_file(model, paths.BRIDGES)
    extra = (paths.means_name(model), paths.curve_name(model), bridges)
    return [*store.model_files(model, known), *(name for name in extra if name in known)]


def missing(store: Store, names: tuple[str, ...]) -> dict[str, int | None]:
    """Those of ``names`` that are not here or damaged, with their sizes where they are known."""
    sizes = {item.name: item.size for item in store.items()}
    return {name: sizes.get(name) for name in names if not store.is_whole(name)}


Kind = Literal["model", "circuit", "means", "training curve", "tokenizer"]
Place = Literal["made here", "downloaded", "ships with the project", "partly here", "not here"]
_PLACES: dict[Where, Place] = {
    "local": "made here",
    "cached": "downloaded",
    "shipped": "ships with the project",
    "remote": "not here",
}
_KIND_OF_TOP: dict[str, Kind] = {"models": "model", "train_curves": "training curve"}
_ORDER: tuple[Kind, ...] = ("model", "means", "training curve", "circuit", "tokenizer")


class Scope(NamedTuple):
    """A choice in the library: as many of the four names as are given, from the left."""

    model: str | None = None
    task: str | None = None
    sweep: str | None = None
    k: str | None = None

    @property
    def title(self) -> str:
        return " · ".join(part for part in self if part) or "everything"

    def holds(self, entry: "Entry") -> bool:
        """Whether the entry belongs to the choice; a model's own files do until a task is given."""
        pairs = zip(self, (entry.model, *entry.circuit), strict=True)
        return all(wanted in (None, got) for wanted, got in pairs)


@dataclass(frozen=True)
class Entry:
    """One thing of the library, with its files at their best places."""

    kind: Kind
    model: str | None
    circuit: tuple[str | None, str | None, str | None]  # task, sweep, k
    items: tuple[Item, ...] = field(repr=False)
    is_newer_there: bool = False  # the last listing shows another version than the one here

    @property
    def title(self) -> str:
        parts = [part for part in (self.model, *self.circuit) if part]
        return " · ".join(parts) or "shared by the released models"

    @property
    def here(self) -> tuple[Item, ...]:
        return tuple(item for item in self.items if item.where != "remote")

    @property
    def place(self) -> Place:
        """Where it is; partly here when it cannot be used without the rest."""
        if not self.here:
            return "not here"
        files = {item.name.rsplit("/", 1)[1] for item in self.here}
        usable = is_whole(files) if self.kind == "model" else len(self.here) == len(self.items)
        best = min(self.here, key=lambda item: list(_PLACES).index(item.where))
        return _PLACES[best.where] if usable else "partly here"

    def licence(self, of_the_release: str) -> str:
        """Under what it may be used."""
        return "yours" if self.place == "made here" else of_the_release

    @property
    def size(self) -> int | None:
        """Bytes: of what is here, else of what the container is known to hold; None if unknown."""
        sizes = [item.size for item in self.here or self.items if item.size is not None]
        return sum(sizes) if sizes else None

    @property
    def last_used(self) -> float | None:
        """Seconds since 1970; None when unknown."""
        return max((item.last_used for item in self.here if item.last_used), default=None)


def entries(store: Store) -> list[Entry]:
    """Everything that is here or known to be in the container, models first within each model."""
    gathered: dict[_Key, list[Item]] = defaultdict(list)
    for item in store.items():
        if (key := _key(item.name)) is not None:
            gathered[key].append(item)
    found = [
        Entry(kind, model, circuit, tuple(items), any(_outdated(store, item) for item in items))
        for (kind, model, circuit), items in gathered.items()
    ]
    return sorted(found, key=_rank)


def names_to_fetch(
    store: Store, scope: Scope, ticked: Iterable[Entry], shown: Iterable[Entry], with_models: bool
) -> dict[str, int | None]:
    """Files of the ticked entries, or else of the scope, that are not here; with their sizes.

    ``with_models`` adds what running a circuit needs. A scope of all four names may be of a circuit
    that nobody has heard of. Raises NotFound for a scope of nothing known.
    """
    ticked = tuple(ticked)
    names = [name for entry in ticked for name in _names_of(store, entry, with_models)]
    if not ticked:
        stored_only = not with_models and scope.model is not None
        names = [*files_for(store, *scope, stored_only=stored_only and scope.task is not None)]
        names += [item.name for entry in shown for item in entry.items]
    known = {item.name: item for item in store.items()}
    missing = [name for name in names if name not in known or known[name].where == "remote"]
    return {name: known[name].size if name in known else None for name in missing}


def _names_of(store: Store, entry: Entry, with_models: bool) -> Iterable[str]:
    if entry.kind != "circuit":
        return (item.name for item in entry.items)
    return files_for(store, entry.model, *entry.circuit, stored_only=not with_models)


def removable(known: Iterable[Entry], own_results: bool) -> list[Item]:
    """The files that may be deleted: downloads, and results made here if asked."""
    allowed = ("cached", "local") if own_results else ("cached",)
    return [item for entry in known for item in entry.items if item.where in allowed]


def unfinished(store: Store) -> dict[str, int]:
    """Bytes that had arrived of downloads that were stopped, by the file's name."""
    root = part_path(store.folder, "").parent
    parts = {path.relative_to(root).as_posix(): path for path in root.rglob("*.part")}
    return {name.removesuffix(".part"): path.stat().st_size for name, path in parts.items()}


def remove(store: Store, names: Iterable[str]) -> tuple[int, list[str]]:
    """Delete files one by one; the bytes freed, and what went wrong with the others."""
    freed = 0
    troubles: list[str] = []
    for name in names:
        try:
            freed += store.remove(name)
        except StoreError as trouble:
            troubles.append(str(trouble))
    return freed, troubles


_Key = tuple[Kind, str | None, tuple[str | None, str | None, str | None]]


def _key(name: str) -> _Key | None:
    nothing = (None, None, None)
    if circuit := paths.circuit_of(name):
        return "circuit", circuit.model, (circuit.task, circuit.sweep, circuit.k)
    model, top = paths.model_of(name), name.split("/", 1)[0]
    if model is None:
        return "tokenizer", None, nothing
    if name == paths.means_name(model):
        return "means", model, nothing
    return (_KIND_OF_TOP[top], model, nothing) if top in _KIND_OF_TOP else None


def _outdated(store: Store, item: Item) -> bool:
    return item.where == "cached" and store.is_outdated(item.name)


def _rank(entry: Entry) -> tuple[object, ...]:
    names = (entry.model or "~", *(part or "" for part in entry.circuit))
    model, *rest = map(paths.natural, names)
    return (model, _ORDER.index(entry.kind), rest)
