"""The bytes of a file that have arrived so far, and the proof that they are right.

`<folder>/.store/partial/<name>.part` holds bytes. Beside it, a small JSON file says of which
version they are, and the SHA-256 of the first so many. Only that much is believed when a later
process goes on: what a crash left behind it, or what was flipped on the disk, is fetched again.
"""

import base64
import hashlib
import os
import time
from dataclasses import asdict
from pathlib import Path

from circuit_sparsity.store import manifest, paths
from circuit_sparsity.store.atomic import take_name
from circuit_sparsity.store.manifest import BOOKS, Record
from circuit_sparsity.store.remote import Version

_STEP_BYTES = 8 << 20  # bytes that a crash may cost
_STEP_SECONDS = 5.0  # and seconds, on a slow line
_BLOCK = 1 << 20


def part_path(folder: Path, name: str) -> Path:
    return folder / BOOKS / "partial" / f"{name}.part"


class Partial:
    """One unfinished file. Whoever holds one holds the lock of its target."""

    def __init__(self, folder: Path, name: str, url: str) -> None:
        self.name, self.version, self.length = name, Version(), 0
        self._folder, self._url = folder, url
        self._part = part_path(folder, name)
        self._note = self._part.with_suffix(".part.json")
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
        self._note.unlink(missing_ok=True)
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
        due = self.length - self._noted >= _STEP_BYTES
        if due or time.monotonic() - self._noted_at > _STEP_SECONDS:
            self.note()

    def note(self) -> None:
        """Bring the bytes to the disk and write down that they are right."""
        os.fsync(self._file.fileno())
        known = {"url": self._url, "length": self.length, "sha256": self._sha256.hexdigest()}
        manifest.write_json(self._note, {**known, **asdict(self.version)})
        self._noted, self._noted_at = self.length, time.monotonic()

    def md5_differs(self) -> bool:
        """Whether the service gave an MD5 and the bytes have another."""
        here = base64.b64encode(self._md5.digest()).decode()
        return self.version.md5 is not None and self.version.md5 != here

    def finish(self) -> Path:
        """Give the complete file its name and write its record; returns its path."""
        target = paths.inside(self._folder, self.name)
        self.note()
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
        self._note.unlink(missing_ok=True)
        return target

    def _take_up(self) -> bool:
        """Go on from what an earlier process left, as far as it is proven."""
        known = manifest.read_json(self._note)
        if known is None or known.pop("url", None) != self._url:
            return False
        length, sha256 = known.pop("length", -1), known.pop("sha256", "")
        if not 0 < length <= os.fstat(self._file.fileno()).st_size:
            return False
        self._file.truncate(length)
        self._file.seek(0)
        while block := self._file.read(_BLOCK):
            self._hash(block)
        self.version = Version(**known)
        self._noted = self.length
        return self._sha256.hexdigest() == sha256

    def _start_hashing(self) -> None:
        self._sha256, self._md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        self._noted, self._noted_at = 0, time.monotonic()

    def _hash(self, block: bytes) -> None:
        self._sha256.update(block)
        self._md5.update(block)
        self.length += len(block)
