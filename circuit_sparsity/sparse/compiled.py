"""The one way kernels are compiled here."""

import inspect
from collections.abc import Callable
from typing import Any

import numba


def kernel(function: Callable[..., Any]) -> Any:
    """Compile for the types of each call, keep the result on disk, release the GIL while running.

    Unwrapped first: where shape checks wrap every function of a package, numba needs the plain one.
    """
    return numba.njit(nogil=True, cache=True, boundscheck=False)(inspect.unwrap(function))
