"""Hooks: a model calls ``hook(name, x)`` on each named tensor and goes on with what comes back.

Nothing here is global to the process: a hook is an argument. ``ambient_hook`` is per thread and
per task (a ``ContextVar``), and exists for the released ``hook_recorder`` alone.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from torch import Tensor

Hook = Callable[[str, Tensor], Tensor]


def no_hook(name: str, x: Tensor) -> Tensor:
    """The plain run."""
    return x


class Recorder:
    """A hook that keeps every tensor whose full name matches ``pattern`` (``re.match``)."""

    def __init__(self, pattern: str | None = None) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._pattern = re.compile(pattern) if pattern is not None else None

    def __call__(self, name: str, x: Tensor) -> Tensor:
        if self._pattern is None or self._pattern.match(name):
            self.tensors[name] = x
        return x


def replace(interventions: Mapping[str, Callable[[Tensor], Tensor]]) -> Hook:
    """A hook that passes each named tensor through its function and leaves the others alone."""

    def hook(name: str, x: Tensor) -> Tensor:
        change = interventions.get(name)
        return x if change is None else change(x)

    return hook


def chain(*hooks: Hook) -> Hook:
    """One hook that applies ``hooks`` from first to last."""
    active = [hook for hook in hooks if hook is not no_hook]
    if not active:
        return no_hook
    if len(active) == 1:
        return active[0]

    def hook(name: str, x: Tensor) -> Tensor:
        for one in active:
            x = one(name, x)
        return x

    return hook


_ambient: ContextVar[Hook] = ContextVar("ambient hook", default=no_hook)


def ambient_hook() -> Hook:
    """The hook that the surrounding ``with ambient(...)`` of this thread asked for."""
    return _ambient.get()


def set_ambient(hook: Hook) -> None:
    """Apply ``hook`` to every forward pass of this thread from now on."""
    _ambient.set(hook)


@contextmanager
def ambient(hook: Hook) -> Iterator[None]:
    """Apply ``hook`` to every forward pass of this thread inside the block."""
    token = _ambient.set(hook)
    try:
        yield
    finally:
        _ambient.reset(token)
