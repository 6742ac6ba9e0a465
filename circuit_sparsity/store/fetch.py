"""One file from the container to its name in the user's folder, whatever happens on the way."""

import contextlib
import errno
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from circuit_sparsity.store import manifest as missing
from circuit_sparsity.store.errors import Damaged, Later, NoSpace, NotFound, Replaced, StoreError
from circuit_sparsity.store.manifest import BOOKS
from circuit_sparsity.store.partial import Partial, part_path
from circuit_sparsity.store.progress import Meter
from circuit_sparsity.store.remote import Source
from circuit_sparsity.store.retry import Patience, Tries, stop_if

_MOST_RESTARTS = 3
_SPARE = 1 << 20  # bytes left free for records and for others
_GLANCE = 0.2  # seconds between two looks at a lock
_MAKE_ROOM = (
    "Free some with `python -m circuit_sparsity clear`, "
    "or set CIRCUIT_SPARSITY_CACHE to a folder on another disk"
)


@dataclass(frozen=True)
class Job:
    """One download: what, from where, into which folder, and who is to be told."""

    name: str
    folder: Path
    url: str  # without secrets
    source: Source
    meter: Meter
    cancel: threading.Event
    patience: Patience


def download(job: Job) -> Path:
    """Download a file that is known not to be here. The caller holds its lock."""
    try:
        with disk_errors(job.folder, job.name), Partial(job.folder, job.name, job.url) as partial:
            _transfer(job, partial)
            if partial.length == 0:
                raise Damaged(_published_empty(job))
            path = partial.finish()
            job.meter(partial.length, partial.length, last=True)
    except NotFound:
        missing.remember(job.folder, job.url, job.name)
        raise
    return path


@contextlib.contextmanager
def locked(folder: Path, name: str, meter: Meter, cancel: threading.Event) -> Iterator[None]:
    """Be the only one that writes this file; while waiting, show how far the other one is."""
    path = lock_path(folder, name)
    with disk_errors(folder, name):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        while True:
            stop_if(cancel, name)
            try:
                lock.acquire(timeout=_GLANCE)
                break
            except Timeout:
                with contextlib.suppress(FileNotFoundError):
                    meter(part_path(folder, name).stat().st_size, None)
    try:
        yield
    finally:
        lock.release()


def lock_path(folder: Path, name: str) -> Path:
    return folder / BOOKS / "locks" / f"{name}.lock"


def _transfer(job: Job, partial: Partial) -> None:
    """Bring every byte into `partial`, through breaks, busy servers and replaced files."""
    tries, restarts = Tries(job.name, job.patience, job.cancel), 0
    while True:
        before = partial.length
        try:
            _receive(job, partial)
            if not partial.md5_differs():
                return
            reason = f"{job.name} arrived with another MD5 than {job.url} says"
            restarts += _MOST_RESTARTS // 2 + 1  # a whole file for nothing: twice is enough
        except Later as later:
            kept = f"; {partial.length:,} bytes are kept for the next time"
            tries.again(later, partial.length > before, kept if partial.length else "")
            continue
        except Replaced as replaced:
            reason = str(replaced)
            restarts += 1
        partial.clear()
        if restarts > _MOST_RESTARTS:
            raise Damaged(f"{reason}, again and again. Try later, or another mirror")


def _receive(job: Job, partial: Partial) -> None:
    """One request, and what comes of it; returns with every byte there, or raises."""
    stop_if(job.cancel, job.name)
    if not partial.can_be_continued:
        partial.clear()
    if partial.is_complete:
        return
    with job.source.open(job.name, partial.length, partial.version) as answer:
        if answer.start not in (0, partial.length):
            raise Replaced(f"{job.url} sent {job.name} from byte {answer.start:,} on")
        if answer.start == 0:
            partial.begin(answer.version)
        _need_space(job, partial)
        _take_in(answer.blocks, partial, job)
    total = partial.version.total
    if total is not None and partial.length < total:
        raise Later(f"{job.url} broke off at {partial.length:,} of {total:,} bytes")
    if total is not None and partial.length > total:
        raise Replaced(f"{job.url} sent {partial.length:,} bytes of {job.name} and said {total:,}")


def _take_in(blocks: Iterator[bytes], partial: Partial, job: Job) -> None:
    total = partial.version.total
    try:
        job.meter(partial.length, total)
        for block in blocks:
            partial.append(block)
            job.meter(partial.length, total)
            stop_if(job.cancel, job.name)
    finally:
        partial.note()


def _published_empty(job: Job) -> str:
    return (
        f"{job.name} is 0 bytes long in {job.url} and should hold data: it was published empty, "
        "and downloading it again will not help until it is replaced there"
    )


def _need_space(job: Job, partial: Partial) -> None:
    if partial.version.total is None:
        return
    need, free = partial.version.total - partial.length, shutil.disk_usage(job.folder).free
    if need + _SPARE > free:
        raise NoSpace(
            f"{job.name} needs {need:,} more bytes, and the disk of {job.folder} has {free:,} "
            f"free. {_MAKE_ROOM}"
        )


@contextlib.contextmanager
def disk_errors(folder: Path, name: str) -> Iterator[None]:
    """Say in words what the disk refuses."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace(
                f"the disk of {folder} became full while {name} was written. {_MAKE_ROOM}"
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise StoreError(
                f"{folder} cannot be written to ({error.strerror}): "
                "set CIRCUIT_SPARSITY_CACHE to a folder of your own"
            ) from error
        raise
