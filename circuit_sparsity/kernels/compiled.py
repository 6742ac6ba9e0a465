"""The one way kernels are compiled here, and where the result is kept.

numba keeps compiled code by the source of the function alone: what it calls in other files may
change unnoticed. The folder is therefore named after the source of all kernels.
"""

import hashlib
import inspect
import logging
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core import config, event
from platformdirs import user_cache_path

_HERE = Path(__file__).parent
_SETTINGS: Any = config  # its names come from the environment

_LOG = logging.getLogger("circuit_sparsity")


@cache
def _say_once() -> None:
    _LOG.warning("Compiling the arithmetic for this machine: once, up to a minute …")


class _Aloud(event.Listener):
    """Tells on the error stream that somebody waits for a compiler, once in a process.

    What is found on disk is not compiled, and nothing is told.
    """

    def on_start(self, event: event.Event) -> None:
        _say_once()

    def on_end(self, event: event.Event) -> None:
        pass


event.register("numba:compile", _Aloud())


@cache
def _fingerprint(*folders: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(path for folder in folders for path in folder.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


@cache
def cache_folder(source: Path = _HERE) -> Path | None:
    """Where the kernels of the folder ``source`` are kept once compiled; None where nowhere.

    The first that can be written of ``NUMBA_CACHE_DIR``, the package's own ``__pycache__`` and
    the user's cache.
    """
    name = f"kernels-{_fingerprint(*{_HERE, source})}"
    chosen = [Path(_SETTINGS.CACHE_DIR)] if _SETTINGS.CACHE_DIR else []
    for base in (*chosen, _HERE / "__pycache__", user_cache_path("circuit-sparsity") / "numba"):
        if _writable(base / name):
            return base / name
    return None


def kernel(function: Callable[..., Any]) -> Any:
    """Compile for the types of each call, release the GIL while running, keep the result on disk.

    Where there is no place to keep it, it is compiled anew in every process.
    """
    plain = inspect.unwrap(function)  # where shape checks wrap functions, numba needs the plain one
    folder = cache_folder(Path(inspect.getfile(plain)).parent)
    before = _SETTINGS.CACHE_DIR
    _SETTINGS.CACHE_DIR = str(folder or "")
    try:
        return numba.njit(nogil=True, cache=folder is not None, boundscheck=False)(plain)
    finally:
        _SETTINGS.CACHE_DIR = before
