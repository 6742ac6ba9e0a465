"""What the container holds: as documented and shipped here, or as the service listed it.

A listing replaces what is documented, until the container's address changes.
"""

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from circuit_sparsity.store import paths
from circuit_sparsity.store.manifest import BOOKS, read_json, write_json

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


def _all(family: Mapping) -> list[str]:
    """
    >>> _all({"name": "m{a}_{b}", "a": ["1", "2"], "b": ["x"]})
    ['m1_x', 'm2_x']
    """
    axes = [axis for axis in family if axis != "name"]
    choices = itertools.product(*(family[axis] for axis in axes))
    return [family["name"].format(**dict(zip(axes, choice, strict=True))) for choice in choices]


def listing_path(folder: Path) -> Path:
    return folder / BOOKS / "listing.json"


def read_catalogue(folder: Path, url: str) -> Catalogue:
    """The last listing of the container at `url`, or else what is documented."""
    path = listing_path(folder)
    try:
        state = path.stat()
    except FileNotFoundError:
        return documented()
    return _read(path, state.st_mtime_ns, state.st_size, url)


@lru_cache(maxsize=4)
def _read(path: Path, changed: int, size: int, url: str) -> Catalogue:
    """A listing is thousands of names, and asked for at every look at the store."""
    known = read_json(path)
    if known is None or known.get("url") != url:
        return documented()
    files = {
        name: Blob(blob["size"], blob["etag"], blob["md5"])
        for name, blob in known["files"].items()
        if paths.is_allowed(name)
    }
    return Catalogue(
        origin="listed",
        files=MappingProxyType(files),
        when=known["when"],
        left_out=known["left_out"],
        licence=documented().licence,
    )


def write_catalogue(folder: Path, url: str, listed: Catalogue) -> None:
    """Keep a listing for the next start."""
    files = {
        name: {"size": blob.size, "etag": blob.etag, "md5": blob.md5}
        for name, blob in listed.files.items()
    }
    known = {"url": url, "when": listed.when, "left_out": listed.left_out, "files": files}
    write_json(listing_path(folder), known)
