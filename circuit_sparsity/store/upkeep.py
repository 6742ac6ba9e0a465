"""Keeping house in the user's folder: verify, delete, count."""

import base64
import contextlib
import hashlib
import os
import shutil
import threading
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from circuit_sparsity.store import health, local, manifest, paths
from circuit_sparsity.store.atomic import MADE_HERE, is_draft, sum_path
from circuit_sparsity.store.catalogue import Blob
from circuit_sparsity.store.download import disk_errors, lock_path, part_path
from circuit_sparsity.store.errors import Busy, Damaged, NotHere
from circuit_sparsity.store.manifest import BOOKKEEPING
from circuit_sparsity.store.progress import Meter, ProgressReport

_DRAFT_IS_LEFT_OVER_AFTER = 3600.0  # seconds


@dataclass(frozen=True)
class Usage:
    """Bytes."""

    downloaded: int
    made_here: int
    unfinished: int  # of downloads that were stopped
    free: int  # on the disk


def usage(folder: Path) -> Usage:
    """What the user's folder holds, and what its disk could still hold."""
    sizes: dict[local.Where, int] = {"cached": 0, "local": 0}
    for item in local.own_items(folder):
        sizes[item.where] += item.size or 0
    parts = (path for path in _files(folder / BOOKKEEPING / "partial") if path.suffix == ".part")
    partial = sum(path.stat().st_size for path in parts)
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    return Usage(sizes["cached"], sizes["local"], partial, shutil.disk_usage(existing).free)


def verify(
    folder: Path,
    shipped: Path,
    name: str,
    blob: Blob | None,
    progress: ProgressReport | None,
    cancel: threading.Event | None,
) -> str:
    """Compare a file with all that is known of it."""
    path = folder / name
    if not path.is_file():
        if not (shipped / name).is_file():
            raise NotHere(f"{name} is not on this machine, so there is nothing to verify")
        health.check_whole(shipped / name)
        return f"{name} came with the project{_as_known(shipped / name)}"
    if local.is_made_here(folder, name):
        health.check_whole(path)
        return f"{name} was made here{_as_known(path)}"
    meter, size = Meter(name, progress), path.stat().st_size
    record = manifest.read_record(folder, name)
    if record is None:
        compared = _compare_with_listing(path, name, blob)
        health.check_whole(path)
        manifest.record_by_hand(folder, name, cancel)
        return f"{name} was put here by hand; {compared}. Its hash is written down from now on"
    if size != record.size:
        manifest.check_unchanged(folder, name)
    manifest.compare_hash(folder, name, record, cancel, lambda done: meter(done, size))
    health.check_whole(path)  # a file may have been cut before it was published
    return f"{name} is what was downloaded: {size:,} bytes, SHA-256 {record.sha256[:16]}..."


def _as_known(path: Path) -> str:
    """What a file that passed was compared with."""
    origin = health.origin_of_sum(path)
    return (
        ": there is nothing to compare it with" if origin is None else f" and is what {origin} says"
    )


def check_by_hand(folder: Path, name: str, blob: Blob | None) -> None:
    """Raise `Damaged` if a file put here by hand is cut, or is other than the list says."""
    if manifest.read_record(folder, name) is None:
        health.check_whole(folder / name)
        _compare_with_listing(folder / name, name, blob)


def _compare_with_listing(path: Path, name: str, blob: Blob | None) -> str:
    size = path.stat().st_size
    if blob is None or blob.size is None:
        return "the container's list says nothing about it"
    if blob.size != size:
        raise Damaged(
            f"{path} is {size:,} bytes long and should be {blob.size:,} by the container's list. "
            f"{manifest.what_next(name)}"
        )
    if blob.md5 is None:
        return "it has the length that the container's list says"
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).digest()
    if base64.b64encode(digest).decode() != blob.md5:
        raise Damaged(
            f"{path} has another MD5 than the container's list. {manifest.what_next(name)}"
        )
    return "it has the length and the MD5 that the container's list says"


def remove(folder: Path, shipped: Path, name: str) -> int:
    """Delete what lies at `name` or under it, finished or not; the bytes freed."""
    place = paths.inside(folder, name)
    names = _names_at(folder, name)
    if not names:
        ships = "; what ships with the project stays" if (shipped / name).exists() else ""
        raise NotHere(f"{place} is not there, so nothing was deleted{ships}")
    return sum(_remove_file(folder, inner) for inner in names)


def clear(folder: Path, own_results: bool) -> int:
    """Delete downloads, finished or not, and own results if asked."""
    freed = 0
    for top in paths.TOPS:
        for name in _names_at(folder, top):
            if own_results or not local.is_made_here(folder, name):
                freed += _remove_file(folder, name)
    return freed


def _names_at(folder: Path, name: str) -> list[str]:
    """Every file of the layout, finished or not, at a name or under it; links are not followed."""
    partial = folder / BOOKKEEPING / "partial"
    finished = [path.relative_to(folder).as_posix() for path in _files(folder / name)]
    parts = [*_files(partial / name), *_files(part_path(folder, name))]
    unfinished = [path.relative_to(partial).as_posix() for path in parts]
    names = {*finished, *(part.removesuffix(".json").removesuffix(".part") for part in unfinished)}
    return sorted(names, key=lambda inner: (inner.endswith(MADE_HERE), inner))  # the mark last


def _files(place: Path) -> Iterator[Path]:
    if place.is_symlink() or place.is_file():
        yield place
        return
    for parent, folders, files in os.walk(place):
        links = [inner for inner in folders if (Path(parent) / inner).is_symlink()]
        yield from (Path(parent) / file for file in [*files, *links])


def _remove_file(folder: Path, name: str) -> int:
    if not paths.is_allowed(name):
        return _remove_left_over(folder / name) if is_draft(name) else 0
    part = part_path(folder, name)
    with disk_errors(folder, name), _unused(folder, name):
        freed = sum(_unlink(path) for path in (folder / name, part))
        sum_path(folder / name).unlink(missing_ok=True)
        part.with_suffix(".part.json").unlink(missing_ok=True)
        manifest.forget(folder, name)
    _drop_empty_folders(folder, (folder / name).parent)
    _drop_empty_folders(folder / BOOKKEEPING / "partial", part.parent)
    return freed


def _remove_left_over(path: Path) -> int:
    """Delete a draft that no living process can be writing any more."""
    try:
        left_over = time.time() - path.lstat().st_mtime > _DRAFT_IS_LEFT_OVER_AFTER
    except FileNotFoundError:
        return 0
    return _unlink(path) if left_over else 0


def _unlink(path: Path) -> int:
    try:
        size = path.lstat().st_size
        path.unlink()
    except FileNotFoundError:
        return 0
    return size


@contextlib.contextmanager
def _unused(folder: Path, name: str) -> Generator[None, None, None]:
    path = lock_path(folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise Busy(
            f"{name} is being downloaded right now, so it was not deleted: stop the download first"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _drop_empty_folders(root: Path, folder: Path) -> None:
    """Delete a folder that holds nothing but its mark, and those above it that become empty."""
    while folder != root and folder.is_dir():
        for name in {path.name for path in folder.glob(".*.sha256")}:
            if not (folder / name.removeprefix(".").removesuffix(".sha256")).exists():
                (folder / name).unlink(missing_ok=True)  # of a file that is gone
        left = [path.name for path in folder.iterdir()]
        if left == [MADE_HERE]:
            (folder / MADE_HERE).unlink(missing_ok=True)
        elif left:
            return
        with contextlib.suppress(OSError):  # somebody wrote into it just now
            folder.rmdir()
        folder = folder.parent
