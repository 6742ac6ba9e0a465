"""What a `Store` does over the network."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from circuit_sparsity.store import manifest
from circuit_sparsity.store.catalogue import Blob, Catalogue, read_catalogue, write_catalogue
from circuit_sparsity.store.download import Transfer, disk_errors, download, locked
from circuit_sparsity.store.errors import (
    Damaged,
    NotFound,
    NotListable,
    Refused,
    StoreError,
    Unreachable,
)
from circuit_sparsity.store.http_source import HttpSource
from circuit_sparsity.store.manifest import Record
from circuit_sparsity.store.progress import Meter, Pace, Progress, ProgressReport, time_left
from circuit_sparsity.store.remote import FolderSource, Source, checked_url, public_url
from circuit_sparsity.store.retry import RetryPolicy, with_retries


@dataclass(frozen=True)
class ContainerCall:
    """Where from, where to, who is told, and when to stop."""

    folder: Path
    url: str
    progress: ProgressReport | None
    cancel: threading.Event
    retry: RetryPolicy


@dataclass(frozen=True)
class Refreshed:
    """What came of asking the container for its list."""

    listed: bool
    note: str  # one sentence for the reader
    catalogue: Catalogue


@dataclass(frozen=True)
class Fetched:
    """What came of a request for several files."""

    paths: tuple[Path, ...]
    troubles: Mapping[str, StoreError]  # by name


def source_at(url: str, retry: RetryPolicy) -> Source:
    """The container at an address."""
    if urlsplit(checked_url(url)).scheme == "file":
        return FolderSource(url)
    return HttpSource(url, retry)


def fetch(work: ContainerCall, name: str, here: Callable[[], Path | None]) -> Path:
    """Download one file; `here` tells, once the lock is held, whether another process was first."""
    url = public_url(work.url)
    manifest.refuse_if_missing(work.folder, url, name)
    meter = Meter(name, work.progress)
    source = source_at(work.url, work.retry)
    catalogue = read_catalogue(work.folder, url)
    listed = catalogue.files.get(name) if catalogue.origin == "listed" else None
    with locked(work.folder, name, meter, work.cancel):
        if path := here():
            return path
        return download(
            Transfer(name, work.folder, url, source, meter, work.cancel, work.retry, listed)
        )


def fetch_all(
    sizes: Mapping[str, int | None],
    fetch_one: Callable[[str, ProgressReport], Path],
    progress: ProgressReport | None,
) -> Fetched:
    """Fetch files in order. `sizes` are in bytes, where known."""
    found: list[Path] = []
    troubles: dict[str, StoreError] = {}
    done, pace = 0, Pace()
    total = None if None in sizes.values() else sum(size or 0 for size in sizes.values())
    for name, size in sizes.items():

        def report(now: Progress, before: int = done) -> None:
            if progress is None:
                return
            all_done, speed = before + now.done, pace(time.monotonic(), now.name, now.done)
            left = time_left(all_done, total, speed)
            progress(Progress(now.name, all_done, total, speed, left))

        try:
            path = fetch_one(name, report)
        except (NotFound, Damaged, Refused) as trouble:
            troubles[name] = trouble
        else:
            found.append(path)
            done += path.stat().st_size if size is None else size
    return Fetched(tuple(found), troubles)


def look(work: ContainerCall, name: str) -> Blob:
    """Size and marks of one file in the container."""
    source = source_at(work.url, work.retry)
    return with_retries(lambda: source.look(name), name, work.retry, work.cancel)


def refresh(work: ContainerCall) -> Refreshed:
    """Take a new listing, if the service gives one."""
    url = public_url(work.url)
    source = source_at(work.url, work.retry)
    try:
        files, left_out = with_retries(source.listing, "the list", work.retry, work.cancel)
    except NotListable as trouble:
        return _not_refreshed(work, f"{url} does not list its files ({trouble})")
    except (Unreachable, Refused) as trouble:
        return _not_refreshed(work, str(trouble))
    listed = Catalogue("listed", files, time.time(), left_out)
    with disk_errors(work.folder, "the list of files"):
        write_catalogue(work.folder, url, listed)
        manifest.forget_all_missing(work.folder)
    odd = f"; {left_out:,} names were left out, as no such file can be stored" if left_out else ""
    note = f"{url} lists {len(files):,} files{odd}"
    return Refreshed(True, note, read_catalogue(work.folder, url))


def _not_refreshed(work: ContainerCall, reason: str) -> Refreshed:
    known = read_catalogue(work.folder, public_url(work.url))
    shown = "is what is publicly documented; more may be there"
    if known.when is not None:
        shown = f"was listed on {time.strftime('%Y-%m-%d %H:%M', time.localtime(known.when))}"
    return Refreshed(False, f"{reason}. What is shown {shown}", known)


def differ(record: Record | None, blob: Blob | None, url: str) -> bool:
    """Whether a download and a listing are two versions; listings leave an ETag's quotes out."""
    if record is None or blob is None or record.url != public_url(url):
        return False
    if record.etag and blob.etag:
        return record.etag.strip('"') != blob.etag.strip('"')
    return blob.size is not None and record.size != blob.size
