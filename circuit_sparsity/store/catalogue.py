"""What the container holds: as documented and shipped here, or as the service listed it.

A listing replaces what is documented, until the container's address changes.
"""

import contextlib
import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal

import msgspec

from circuit_sparsity.store import paths
from circuit_sparsity.store.errors import Damaged
from circuit_sparsity.store.json_files import aside_path, read_json_as, set_aside, write_json
from circuit_sparsity.store.manifest import BOOKKEEPING

_DOCUMENTED = Path(__file__).with_name("catalogue.json")


@dataclass(frozen=True)
class Blob:
    """A file in the container, as far as is known."""

    size: int | None  # bytes
    etag: str | None = None
    md5: str | None = None  # base64


@dataclass(frozen=True)
class Catalogue:
    """The names in the container and where that knowledge is from."""

    origin: Literal["documented", "listed"]
    files: Mapping[str, Blob] = field(repr=False)
    when: float | None = None  # seconds since 1970, of the listing
    left_out: int = 0  # names in the listing that are not let in
    licence: str = ""
    possible_models: tuple[str, ...] = field(default=(), repr=False)  # may or may not exist
    trouble: str | None = None  # what happened to the last listing, where it was damaged


@dataclass(frozen=True)
class _StoredListing:
    """What `listing.json` holds."""

    url: str
    when: float
    left_out: Annotated[int, msgspec.Meta(ge=0)]
    files: dict[str, "_StoredBlob"]


@dataclass(frozen=True)
class _StoredBlob:
    size: Annotated[int, msgspec.Meta(ge=0)] | None
    etag: str | None
    md5: str | None


@cache
def documented() -> Catalogue:
    """What is publicly known without asking the service."""
    known = json.loads(_DOCUMENTED.read_bytes())
    return Catalogue(
        origin="documented",
        files=MappingProxyType({name: Blob(blob["size"]) for name, blob in known["files"].items()}),
        licence=known["licence"],
        possible_models=tuple(name for family in known["possible_models"] for name in _all(family)),
    )


def _all(family: Mapping[str, str | list[str]]) -> list[str]:
    """
    >>> _all({"name": "m{a}_{b}", "a": ["1", "2"], "b": ["x"]})
    ['m1_x', 'm2_x']
    """
    axes = [axis for axis in family if axis != "name"]
    choices: Iterable[tuple[str, ...]] = itertools.product(*(family[axis] for axis in axes))
    pattern = str(family["name"])
    return [pattern.format(**dict(zip(axes, choice, strict=True))) for choice in choices]


def listing_path(folder: Path) -> Path:
    return folder / BOOKKEEPING / "listing.json"


def read_catalogue(folder: Path, url: str) -> Catalogue:
    """The last listing of the container at `url`, or else what is documented.

    A damaged listing is set aside, and `trouble` says so until there is a new one.
    """
    path = listing_path(folder)
    try:
        state = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return _without_listing(path)
    try:
        return _read(path, state.st_mtime_ns, state.st_size, url)
    except Damaged:
        set_aside(path)
        return _without_listing(path)


def _without_listing(path: Path) -> Catalogue:
    aside = aside_path(path)
    if not (aside.is_file() or path.is_file()):
        return documented()
    trouble = (
        f"the container's last list was damaged and is set aside as {aside}; "
        "`python -m circuit_sparsity list --refresh` asks for a new one"
    )
    return replace(documented(), trouble=trouble)


@lru_cache(maxsize=4)
def _read(path: Path, _changed: int, _size: int, url: str) -> Catalogue:
    """A listing is thousands of names, and asked for at every look at the store."""
    known = read_json_as(path, _StoredListing, "the container's last list")
    if known is None or known.url != url:
        return documented()
    files = {
        name: Blob(blob.size, blob.etag, blob.md5)
        for name, blob in known.files.items()
        if paths.is_allowed(name)
    }
    return Catalogue(
        origin="listed",
        files=MappingProxyType(files),
        when=known.when,
        left_out=known.left_out,
        licence=documented().licence,
    )


def write_catalogue(folder: Path, url: str, listed: Catalogue) -> None:
    """Keep a listing for the next start."""
    files = {name: asdict(blob) for name, blob in listed.files.items()}
    known = {"url": url, "when": listed.when, "left_out": listed.left_out, "files": files}
    write_json(listing_path(folder), known)
    with contextlib.suppress(OSError):
        aside_path(listing_path(folder)).unlink(missing_ok=True)
