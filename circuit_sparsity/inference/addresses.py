"""What the released code names by an address of the container, as a file of this machine.

``https://…/circuit-sparsity/models/csp_yolo2`` is a model; the bytes come through the store: kept,
continued after a break, checked. A path stays the path that it is.
"""

import hashlib
from dataclasses import replace
from pathlib import Path

from circuit_sparsity.store import Store, StoreError, paths
from circuit_sparsity.store.store import DEFAULT_URL


def local_file(path: str | Path) -> Path:
    """The file at a path or an address, downloaded where it is not here.

    Raises StoreError for an address that is none of the container's layout, and for what can go
    wrong on the way.
    """
    if not is_address(path):
        return Path(path).expanduser()
    store, name = _in_store(str(path))
    return store.fetch(name)


def local_model(path: str | Path) -> Path:
    """The folder of the model at a path or an address, downloaded where it is not here.

    Raises StoreError as ``local_file`` does.
    """
    if not is_address(path):
        return Path(path).expanduser()
    store, name = _in_store(f"{str(path).rstrip('/')}/{paths.CONFIG}")
    parts = name.split("/")
    if len(parts) != 3 or parts[0] != "models":
        raise StoreError(f"{path} is no model: expected an address that ends in models/NAME")
    model = parts[1]
    if store.path_of_model(model) is None:
        for one in store.model_files(model)[:2]:  # configuration and weights
            store.fetch(one)
    folder = store.path_of_model(model)
    assert folder is not None, f"{model} was fetched and is not here"
    return folder


def is_address(path: str | Path) -> bool:
    """Whether ``path`` names something in a container rather than on this machine."""
    return isinstance(path, str) and "://" in path


def _in_store(address: str) -> tuple[Store, str]:
    """The store that an address is of, and the file's name in it."""
    base, top = _split(address)
    _, model, *file = (top + address[len(base) + 1 + len(top) :]).split("/")
    name = "/".join((top, paths.model_id(model), *file))
    store = Store.from_environment()
    if base not in (DEFAULT_URL, store.url):
        # Another container's files may have the same names: they get a folder of their own.
        inner = f"containers/{hashlib.sha256(base.encode()).hexdigest()[:12]}"
        store = replace(store, folder=store.folder / inner, url=base)
    return store, paths.checked(name)


def _split(address: str) -> tuple[str, str]:
    """The container's own address, and the folder of its layout that comes next."""
    for top in paths.TOPS:
        base, found, _ = address.rpartition(f"/{top}/")
        if found:
            return base, top
    raise StoreError(
        f"{address} is no address of the container's layout; expected one such as "
        f"{DEFAULT_URL}/models/csp_yolo2"
    )
