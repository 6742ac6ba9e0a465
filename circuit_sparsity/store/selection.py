"""Which files a model, a task, a sweep or a circuit needs."""

from circuit_sparsity.store import paths
from circuit_sparsity.store.errors import Damaged, NotFound
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
        names = [*circuits, *(name for one in models for name in _to_run(store, one))]
        names += [] if model else [item.name for item in store.items()]
    if not names or (task and not circuits):
        wanted = " · ".join(part for part in (model, task, sweep, k) if part)
        raise NotFound(
            f"nothing is known of {wanted or 'any circuit'}: refresh the catalogue with "
            "`python -m circuit_sparsity list --refresh`, or name model, task, sweep and k in full"
        )
    return tuple(dict.fromkeys(names))


def _to_run(store: Store, model: str) -> list[str]:
    """Model, tokenizer; means, training curve and bridges where they are known to exist."""
    known = {item.name for item in store.items()}
    bridges = paths.model_file(model, paths.BRIDGES)
    extra = (paths.means_name(model), paths.curve_name(model), bridges)
    return [*store.model_files(model), *(name for name in extra if name in known)]


def missing(store: Store, names: tuple[str, ...]) -> dict[str, int | None]:
    """Those of ``names`` that are not here or damaged, with their sizes where they are known."""
    sizes = {item.name: item.size for item in store.items()}
    return {name: sizes.get(name) for name in names if not _is_whole(store, name)}


def _is_whole(store: Store, name: str) -> bool:
    try:
        return store.find(name) is not None
    except Damaged:
        return False  # fetching replaces it
