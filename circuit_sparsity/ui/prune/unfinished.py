"""Prunings that were asked for and have not ended, on disk: what the end of the app cuts off.

A request lies in the user's folder as long as its job runs, under a lock that ends with the
process. A request without a holder of its lock was cut off.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from circuit_sparsity.pruning.request import PruneRequest
from circuit_sparsity.pruning.settings import PruneSettings
from circuit_sparsity.store import Store
from circuit_sparsity.store.atomic import write_atomically
from circuit_sparsity.store.download import lock_path
from circuit_sparsity.tasks.own import OwnTask, pairs_as_jsonl, read_pairs

_FOLDER = "unfinished"


@dataclass(frozen=True)
class Unfinished:
    """A request that the end of the app cut off, and the pairs of its task if they are own ones."""

    path: Path
    title: str
    request: PruneRequest
    task: OwnTask | None

    def forget(self) -> None:
        self.path.unlink(missing_ok=True)


@contextmanager
def noted(store: Store, title: str, request: PruneRequest, task: OwnTask | None) -> Iterator[None]:
    """While this lasts, the request lies on disk; it goes however this ends in this process."""
    told = {"title": title, "request": dataclasses.asdict(request), "task": _told(task)}
    text = json.dumps(told, indent=1)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    path, lock = _path(store, digest), FileLock(_lock(store, digest))
    with lock:
        write_atomically(path, lambda file: file.write(text.encode()))
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def unfinished(store: Store) -> list[Unfinished]:
    """What was cut off, the oldest first; a record that cannot be read is dropped."""
    found = []
    for path in sorted(_path(store, "").parent.glob("*.json"), key=lambda one: one.stat().st_mtime):
        if not _is_held(store, path):
            one = _read(path)
            if one is None:
                path.unlink(missing_ok=True)
            else:
                found.append(one)
    return found


def _is_held(store: Store, path: Path) -> bool:
    lock = FileLock(_lock(store, path.stem))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def _read(path: Path) -> Unfinished | None:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        raw: dict[str, Any] = told["request"]
        settings = PruneSettings.from_dict(raw.pop("settings"))
        start = raw.pop("start")
        request = PruneRequest(
            **raw, settings=settings, start=None if start is None else (start[0], start[1])
        )
        task = told["task"]
        if task is not None:
            task = OwnTask(task["name"], task["summary"], read_pairs(task["pairs"]))
        return Unfinished(path, str(told["title"]), request, task)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _told(task: OwnTask | None) -> dict[str, str] | None:
    if task is None:
        return None
    pairs = pairs_as_jsonl(task.all_pairs)
    return {"name": task.name, "summary": task.summary, "pairs": pairs}


def _path(store: Store, digest: str) -> Path:
    return store.folder / _FOLDER / f"{digest}.json"


def _lock(store: Store, digest: str) -> Path:
    path = lock_path(store.folder, f"{_FOLDER}/{digest}")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
