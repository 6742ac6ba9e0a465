"""Files that the container said it does not have, remembered for a while so as not to ask again."""

import shutil
import time
from pathlib import Path

from circuit_sparsity.store.errors import NotFound
from circuit_sparsity.store.manifest import BOOKS, read_json, write_json

REMEMBERED = 600.0  # seconds


def remember(folder: Path, url: str, name: str) -> None:
    write_json(_note(folder, name), {"url": url, "when": time.time()})


def forget(folder: Path, name: str) -> None:
    _note(folder, name).unlink(missing_ok=True)


def forget_all(folder: Path) -> None:
    shutil.rmtree(folder / BOOKS / "missing", ignore_errors=True)


def refuse_if_missing(folder: Path, url: str, name: str) -> None:
    """Raise `NotFound` if the container was asked lately."""
    note = read_json(_note(folder, name))
    if note is None or note.get("url") != url:
        return
    age = time.time() - float(note.get("when", 0.0))
    if 0 <= age < REMEMBERED:
        raise NotFound(
            f"{name} was not in {url} {age:,.0f} seconds ago; it is asked for again "
            f"{REMEMBERED - age:,.0f} seconds from now, or after the list is refreshed"
        )


def _note(folder: Path, name: str) -> Path:
    return folder / BOOKS / "missing" / f"{name}.json"
