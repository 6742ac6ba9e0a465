"""One file from the container to its name in the user's folder, whatever happens on the way.

`<folder>/.store/partial/<name>.part` holds the bytes that have arrived. Beside it, a small JSON
file says of which version they are, and the SHA-256 of the first so many. Only that much is
believed when a later process goes on: what a crash left after it, or what was flipped on the disk,
is fetched again.
"""

import base64
import contextlib
import errno
import hashlib
import os
import shutil
import threading
import time
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from circuit_sparsity.store import manifest, paths
from circuit_sparsity.store.atomic import take_name
from circuit_sparsity.store.catalogue import Blob
from circuit_sparsity.store.errors import (
    Damaged,
    Later,
    NoSpace,
    NotFound,
    Replaced,
    StoreError,
    Unreachable,
)
from circuit_sparsity.store.json_files import read_json_as, write_json
from circuit_sparsity.store.manifest import BOOKKEEPING, Record
from circuit_sparsity.store.progress import Meter
from circuit_sparsity.store.remote import Source, Version
from circuit_sparsity.store.retry import RetryPolicy, Tries, stop_if

_MOST_RESTARTS = 3
_SPARE = 1 << 20  # bytes left free for records and for others
_LOCK_POLL = 0.2  # seconds between two tries to take a lock
_MAKE_ROOM = (
    "Free some with `python -m circuit_sparsity clear`, "
    "or set CIRCUIT_SPARSITY_CACHE to a folder on another disk"
)


@dataclass(frozen=True)
class Transfer:
    """One download: what, from where, into which folder, and who is to be told."""

    name: str
    folder: Path
    url: str  # without secrets
    source: Source
    meter: Meter
    cancel: threading.Event
    retry: RetryPolicy
    listed: Blob | None = None  # what the container's last list says of the file


def download(transfer: Transfer) -> Path:
    """Download a file that is known not to be here. The caller holds its lock."""
    try:
        with (
            disk_errors(transfer.folder, transfer.name),
            Partial(transfer.folder, transfer.name, transfer.url) as partial,
        ):
            _bring(transfer, partial)
            if partial.length == 0:
                raise Damaged(_published_empty(transfer))
            _compare_with_list(transfer, partial)
            path = partial.finish()
            transfer.meter(partial.length, partial.length, last=True)
    except NotFound:
        manifest.remember_missing(transfer.folder, transfer.url, transfer.name)
        raise
    return path


@contextlib.contextmanager
def locked(
    folder: Path, name: str, meter: Meter, cancel: threading.Event
) -> Generator[None, None, None]:
    """Be the only one that writes this file; while waiting, show how far the other one is."""
    path = lock_path(folder, name)
    with disk_errors(folder, name):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        while True:
            stop_if(cancel, name)
            try:
                lock.acquire(timeout=_LOCK_POLL)
                break
            except Timeout:
                with contextlib.suppress(FileNotFoundError):
                    meter(part_path(folder, name).stat().st_size, None)
    try:
        yield
    finally:
        lock.release()


def lock_path(folder: Path, name: str) -> Path:
    return folder / BOOKKEEPING / "locks" / f"{name}.lock"


def _bring(transfer: Transfer, partial: "Partial") -> None:
    """Bring every byte into `partial`, through breaks, busy servers and replaced files."""
    tries, restarts = Tries(transfer.name, transfer.retry, transfer.cancel), 0
    speed = _LeastSpeed(transfer)
    while True:
        before = partial.length
        try:
            _receive(transfer, partial, speed)
            if not partial.md5_differs():
                return
            reason = f"{transfer.name} arrived with another MD5 than {transfer.url} says"
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


def _receive(transfer: Transfer, partial: "Partial", speed: "_LeastSpeed") -> None:
    """One request, and what comes of it; returns with every byte there, or raises."""
    stop_if(transfer.cancel, transfer.name)
    if not partial.can_be_continued:
        partial.clear()
    if partial.is_complete:
        return
    with transfer.source.open(transfer.name, partial.length, partial.version) as answer:
        if answer.start not in (0, partial.length):
            raise Replaced(f"{transfer.url} sent {transfer.name} from byte {answer.start:,} on")
        if answer.start == 0:
            partial.begin(answer.version)
        _need_space(transfer, partial)
        _take_in(answer.blocks, partial, transfer, speed)
    total = partial.version.total
    if total is not None and partial.length < total:
        raise Later(f"{transfer.url} broke off at {partial.length:,} of {total:,} bytes")
    if total is not None and partial.length > total:
        raise Replaced(
            f"{transfer.url} sent {partial.length:,} bytes of {transfer.name} and said {total:,}"
        )


class _LeastSpeed:
    """Ends a transfer that trickles: a byte now and then keeps every time-out from ending it."""

    def __init__(self, transfer: Transfer) -> None:
        self._transfer = transfer
        self._bytes, self._seconds = 0, 0.0

    def took(self, n_bytes: int, seconds: float) -> None:
        """Count what arrived; raises `Unreachable` when all of it together was too slow."""
        self._bytes += n_bytes
        self._seconds += seconds
        retry = self._transfer.retry
        if self._seconds > retry.grace + self._bytes / retry.slowest:
            raise Unreachable(
                f"{self._transfer.name}: {self._bytes:,} bytes arrived in {self._seconds:,.0f} "
                f"seconds, and {self._transfer.url} is given up below {retry.slowest:,.0f} bytes a "
                "second. What has arrived is kept for the next time. Try again later, or set "
                "CIRCUIT_SPARSITY_URL to a mirror"
            )


def _take_in(
    blocks: Iterator[bytes], partial: "Partial", transfer: Transfer, speed: _LeastSpeed
) -> None:
    total, before = partial.version.total, time.monotonic()
    try:
        transfer.meter(partial.length, total)
        for block in blocks:
            partial.append(block)
            transfer.meter(partial.length, total)
            now = time.monotonic()
            speed.took(len(block), now - before)
            before = now
            stop_if(transfer.cancel, transfer.name)
    finally:
        partial.save()


def _compare_with_list(transfer: Transfer, partial: "Partial") -> None:
    """Raise `Damaged` if the list speaks of the same version and says another length or MD5."""
    listed, etag = transfer.listed, partial.version.etag
    if listed is None or (etag and listed.etag and etag.strip('"') != listed.etag.strip('"')):
        return
    trouble = None
    if listed.size is not None and listed.size != partial.length:
        trouble = f"{partial.length:,} bytes long and should be {listed.size:,}"
    elif listed.md5 is not None and listed.md5 != partial.md5:
        trouble = f"of another MD5 ({partial.md5}) than {listed.md5}"
    if trouble is not None:
        partial.clear()
        raise Damaged(
            f"{transfer.name} arrived from {transfer.url} and is {trouble} by the container's "
            "list, so it was not kept. Refresh the list with "
            "`python -m circuit_sparsity list --refresh` and fetch it again"
        )


def _published_empty(transfer: Transfer) -> str:
    return (
        f"{transfer.name} is 0 bytes long in {transfer.url} and should hold data: it was published "
        "empty, and downloading it again will not help until it is replaced there"
    )


def _need_space(transfer: Transfer, partial: "Partial") -> None:
    if partial.version.total is None:
        return
    need, free = partial.version.total - partial.length, shutil.disk_usage(transfer.folder).free
    if need + _SPARE > free:
        raise NoSpace(
            f"{transfer.name} needs {need:,} more bytes, and the disk of {transfer.folder} has "
            f"{free:,} free. {_MAKE_ROOM}"
        )


@contextlib.contextmanager
def disk_errors(folder: Path, name: str) -> Generator[None, None, None]:
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


_STEP_BYTES = 8 << 20  # bytes that a crash may cost
_STEP_SECONDS = 5.0  # and seconds, on a slow line
_BLOCK = 1 << 20


def part_path(folder: Path, name: str) -> Path:
    """Where the bytes of an unfinished download lie."""
    return folder / BOOKKEEPING / "partial" / f"{name}.part"


@dataclass(frozen=True)
class _Proof:
    """What is known of the bytes that have arrived."""

    url: str
    length: int  # bytes that are proven
    sha256: str  # of so many
    etag: str | None
    modified: str | None
    md5: str | None
    total: int | None


class Partial:
    """One unfinished file. Whoever holds one holds the lock of its target."""

    def __init__(self, folder: Path, name: str, url: str) -> None:
        self.name, self.version, self.length = name, Version(), 0
        self._folder, self._url = folder, url
        self._part = part_path(folder, name)
        self._proof_path = self._part.with_suffix(".part.json")
        self._part.parent.mkdir(parents=True, exist_ok=True)
        # Unbuffered: after a full disk nothing waits in memory to fail once more on closing.
        self._file = open(self._part, "ab+", buffering=0)  # noqa: SIM115
        self._start_hashing()
        if not self._take_up():
            self.clear()

    def __enter__(self) -> "Partial":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def is_complete(self) -> bool:
        """Whether every byte is here; never true while nobody knows how many there are."""
        return self.version.total is not None and self.length == self.version.total

    @property
    def can_be_continued(self) -> bool:
        """Whether the server can be asked to send the rest of this version and no other."""
        etag = self.version.etag
        return bool((etag and not etag.startswith("W/")) or self.version.modified)

    def clear(self) -> None:
        """Drop every byte."""
        self._proof_path.unlink(missing_ok=True)
        self._file.truncate(0)
        self.length, self.version = 0, Version()
        self._start_hashing()

    def begin(self, version: Version) -> None:
        """Say which version the bytes to come are of."""
        self.clear()
        self.version = version

    def append(self, block: bytes) -> None:
        rest = memoryview(block)
        while rest:
            rest = rest[self._file.write(rest) :]
        self._hash(block)
        due = self.length - self._saved >= _STEP_BYTES
        if due or time.monotonic() - self._saved_at > _STEP_SECONDS:
            self.save()

    def save(self) -> None:
        """Bring the bytes to the disk and write down that they are right."""
        os.fsync(self._file.fileno())
        known = {"url": self._url, "length": self.length, "sha256": self._sha256.hexdigest()}
        write_json(self._proof_path, {**known, **asdict(self.version)})
        self._saved, self._saved_at = self.length, time.monotonic()

    @property
    def md5(self) -> str:
        """Of the bytes that have arrived, in base64."""
        return base64.b64encode(self._md5.digest()).decode()

    def md5_differs(self) -> bool:
        """Whether the service gave an MD5 and the bytes have another."""
        return self.version.md5 is not None and self.version.md5 != self.md5

    def finish(self) -> Path:
        """Give the complete file its name and write its record; returns its path."""
        target = paths.inside(self._folder, self.name)
        self.save()
        state = os.fstat(self._file.fileno())
        self._file.close()
        record = Record(
            size=self.length,
            changed=state.st_mtime_ns,
            sha256=self._sha256.hexdigest(),
            etag=self.version.etag,
            md5=self.version.md5,
            url=self._url,
            when=time.time(),
        )
        # A new file finds its record there. An old one must not meet the new record: a process
        # killed between the steps would leave a whole file that looks damaged.
        replaces = target.exists()
        if replaces:
            manifest.forget(self._folder, self.name)
        else:
            manifest.write_record(self._folder, self.name, record)
        take_name(self._part, target)
        if replaces:
            manifest.write_record(self._folder, self.name, record)
        self._proof_path.unlink(missing_ok=True)
        return target

    def _take_up(self) -> bool:
        """Go on from what an earlier process left, as far as it is proven."""
        try:
            proof = read_json_as(self._proof_path, _Proof, "the proof of an unfinished download")
        except Damaged:
            return False  # nothing is proven
        if proof is None or proof.url != self._url:
            return False
        if not 0 < proof.length <= os.fstat(self._file.fileno()).st_size:
            return False
        self._file.truncate(proof.length)
        self._file.seek(0)
        while block := self._file.read(_BLOCK):
            self._hash(block)
        self.version = Version(proof.etag, proof.modified, proof.md5, proof.total)
        self._saved = self.length
        return self._sha256.hexdigest() == proof.sha256

    def _start_hashing(self) -> None:
        self._sha256, self._md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        self._saved, self._saved_at = 0, time.monotonic()

    def _hash(self, block: bytes) -> None:
        self._sha256.update(block)
        self._md5.update(block)
        self.length += len(block)
