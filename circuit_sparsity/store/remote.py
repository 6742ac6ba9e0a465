"""What a container is to the rest of the store: a place that opens a file at an offset."""

import contextlib
from collections.abc import Generator, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, runtime_checkable
from urllib.parse import urlsplit, urlunsplit
from urllib.request import url2pathname

from circuit_sparsity.store import local
from circuit_sparsity.store.catalogue import Blob
from circuit_sparsity.store.errors import NotFound, NotListable, Refused, Replaced, StoreError

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


_BLOCK = 1 << 20


class FolderSource:
    """A folder in the container's layout; the time of change serves as the ETag."""

    def __init__(self, url: str) -> None:
        self._folder = Path(url2pathname(urlsplit(url).path))

    @contextlib.contextmanager
    def open(self, name: str, start: int, known: Version) -> Generator[Answer, None, None]:
        blob = self.look(name)
        if start and blob.etag != known.etag:
            raise Replaced(f"{self._folder / name} was replaced")
        version = Version(etag=blob.etag, total=blob.size)
        with open(self._folder / name, "rb") as file:
            file.seek(start)
            yield Answer(start, version, _blocks(file))

    def look(self, name: str) -> Blob:
        path = self._folder / name
        try:
            state = path.stat()
            with open(path, "rb"):
                pass
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise NotFound(f"{name} is not in {self._folder}") from error
        except PermissionError as error:
            raise Refused(f"{path} may not be read: {error.strerror}") from error
        return Blob(state.st_size, f'"{state.st_mtime_ns:x}-{state.st_size:x}"')

    def listing(self) -> tuple[Mapping[str, Blob], int]:
        if not self._folder.is_dir():
            raise NotListable(f"{self._folder} is no folder")
        names = [item.name for item in local.shipped_items(self._folder)]
        return {name: self.look(name) for name in names}, 0


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(_BLOCK):
        yield block
