"""Claims on disk: ``claims.json`` in the user's folder, or the one that ships."""

import json
from pathlib import Path

from circuit_sparsity.claims.values import Claims
from circuit_sparsity.store import Store
from circuit_sparsity.store.atomic import write_atomically

CLAIMS = "claims.json"


def write_claims(claims: Claims, folder: Path) -> Path:
    """Write into ``folder``, whole or not at all."""
    text = json.dumps(claims.to_dict(), indent=1, allow_nan=False) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    return write_atomically(folder / CLAIMS, lambda file: file.write(text.encode()))


def read_claims(store: Store) -> Claims | None:
    """What was measured last, else what ships, else None; ValueError for a damaged file."""
    for folder in (store.folder, store.shipped):
        path = folder / CLAIMS
        if path.is_file():
            try:
                return Claims.from_dict(json.loads(path.read_text(encoding="utf-8")))
            except ValueError as error:
                raise ValueError(f"{path} cannot be read: {error}; delete it") from error
    return None
