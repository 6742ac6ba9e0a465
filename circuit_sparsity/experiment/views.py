"""Views of a circuit that a reader gave a name: each is the address's query, kept on disk.

They lie in the user's folder under ``views/``, apart from downloads and results: nothing that is
fetched, cleared or made again touches them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import cast

from filelock import FileLock

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.experiment.labels import one_line
from circuit_sparsity.store import Store, paths
from circuit_sparsity.store.json_files import read_json_object, write_json

_FILE = "views.json"


@dataclass(frozen=True)
class Views:
    """Queries by the names that a reader gave them, in the order in which they were kept.

    >>> views = Views().named("all heads off", "nodes=0.attn.q%3A1").renamed("all heads off", "off")
    >>> dict(views.queries), dict(views.without("off").queries)
    ({'off': 'nodes=0.attn.q%3A1'}, {})
    """

    queries: Mapping[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        object.__setattr__(self, "queries", MappingProxyType(dict(self.queries)))

    def named(self, name: str, query: str) -> "Views":
        """With this view too, in place of one of the same name; ValueError for an empty name."""
        return Views({**self.queries, _name(name): query})

    def renamed(self, name: str, new: str) -> "Views":
        """With another name for one view; ValueError for a name that another view has."""
        wanted = _name(new)
        if wanted != name and wanted in self.queries:
            raise ValueError(f"there is a view named {wanted!r} already; choose another name")
        return Views({wanted if old == name else old: q for old, q in self.queries.items()})

    def without(self, name: str) -> "Views":
        """Without one view."""
        return Views({old: query for old, query in self.queries.items() if old != name})


def _name(text: str) -> str:
    found = one_line(text)
    if not found:
        raise ValueError("a view needs a name; type one, such as “without the closing head”")
    return found


def read_views(store: Store, circuit: Circuit) -> Views:
    """The views of a circuit, none when nobody named one; ValueError for a damaged file."""
    path = _path(store, circuit)
    try:
        found = read_json_object(path, "named views")
        for name, query in (found or {}).items():
            if not isinstance(query, str):
                raise ValueError(f"the view {name} holds {query!r:.80}; expected a query as text")
    except ValueError as error:
        raise ValueError(
            f"the views in {path} cannot be read: {error}; mend the file or delete it"
        ) from error
    return Views(cast("dict[str, str]", found or {}))


def change_views(store: Store, circuit: Circuit, change: Callable[[Views], Views]) -> Views:
    """Keep what ``change`` makes of the circuit's views; two who do so at once lose nothing."""
    path = _path(store, circuit)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock"), timeout=10):
        views = change(read_views(store, circuit))
        write_json(path, dict(views.queries))
    return views


def _path(store: Store, circuit: Circuit) -> Path:
    """Raises StoreError for names that would lead out of the folder."""
    viz = paths.viz_name(circuit.model, circuit.task, circuit.sweep, circuit.k)
    return store.folder.joinpath("views", *viz.split("/")[1:-1], _FILE)
