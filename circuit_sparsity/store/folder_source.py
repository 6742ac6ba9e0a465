"""A container that is a folder of this machine, by a file:// address."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit
from urllib.request import url2pathname

from circuit_sparsity.store import local
from circuit_sparsity.store.catalogue import Blob
from circuit_sparsity.store.errors import NotFound, NotListable, Refused, Replaced
from circuit_sparsity.store.remote import Answer, Version

_BLOCK = 1 << 20


class FolderSource:
    """A folder in the container's layout; the time of change serves as the ETag."""

    def __init__(self, url: str) -> None:
        self._folder = Path(url2pathname(urlsplit(url).path))

    @contextlib.contextmanager
    def open(self, name: str, start: int, known: Version) -> Iterator[Answer]:
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
