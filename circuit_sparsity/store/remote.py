"""What a container is to the rest of the store: a place that opens a file at an offset."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable
from urllib.parse import urlsplit, urlunsplit

from circuit_sparsity.store.catalogue import Blob
from circuit_sparsity.store.errors import StoreError

SCHEMES = ("https", "http", "file")


@dataclass(frozen=True)
class Version:
    """What tells one content of a file from another."""

    etag: str | None = None
    modified: str | None = None  # the Last-Modified header, for servers without an ETag
    md5: str | None = None  # base64, of the whole file
    total: int | None = None  # bytes


@dataclass(frozen=True)
class Answer:
    """A file's bytes from `start` on."""

    start: int
    version: Version
    blocks: Iterator[bytes]


@runtime_checkable
class Source(Protocol):
    """A container. Every method may raise `NotFound`, `Refused`, `Later` or `Replaced`."""

    def open(self, name: str, start: int, known: Version) -> AbstractContextManager[Answer]:
        """Bytes from `start` on, if the file is still the `known` version; or from 0 on."""
        ...

    def look(self, name: str) -> Blob:
        """Size and marks of a file, without its bytes."""
        ...

    def listing(self) -> tuple[Mapping[str, Blob], int]:
        """Every file, and how many names were not let in. Raises `NotListable`."""
        ...


def public_url(url: str) -> str:
    """The address without its query, which may hold a signature that nobody should see.

    >>> public_url("https://host/container?sig=secret")
    'https://host/container'
    """
    parts = urlsplit(url)
    host = parts.netloc.rsplit("@", 1)[-1]
    return urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))


def checked_url(url: str) -> str:
    """
    >>> checked_url("openaipublic.blob.core.windows.net/circuit-sparsity")
    Traceback (most recent call last):
    circuit_sparsity.store.errors.StoreError: CIRCUIT_SPARSITY_URL is \
'openaipublic.blob.core.windows.net/circuit-sparsity'; expected an address that begins with \
https://, http:// or file:///
    """
    parts = urlsplit(url)
    if parts.scheme not in SCHEMES or not (parts.netloc or parts.scheme == "file"):
        raise StoreError(
            f"CIRCUIT_SPARSITY_URL is {public_url(url)!a}; "
            "expected an address that begins with https://, http:// or file:///"
        )
    return url
