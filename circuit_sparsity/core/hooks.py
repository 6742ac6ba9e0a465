"""Hooks: a model calls ``hook(name, x)`` on each named tensor and goes on with what comes back.

A hook may say by ``wants(name)`` which tensors it looks at: the others then stay where they are,
which is faster; a layer of which nothing is wanted runs as fast as without a hook. A hook that does
not say it is shown everything.

Nothing here is global to the process: a hook is an argument. ``ambient_hook`` is per thread and
per task (a ``ContextVar``), and exists for the released ``hook_recorder`` alone.
"""

import re
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from torch import Tensor

Hook = Callable[[str, Tensor], Tensor]


def no_hook(name: str, x: Tensor) -> Tensor:
    """The plain run."""
    return x


def with_names(hook: Hook, names: Container[str]) -> Hook:
    """``hook`` itself, which from now on says that it looks at no tensors but these."""
    hook.wants = names.__contains__  # pyright: ignore[reportFunctionMemberAccess]
    return hook


with_names(no_hook, ())


def wants(hook: Hook, name: str) -> bool:
    """Whether ``hook`` looks at the tensor of that name.

    >>> wants(no_hook, "0.attn.q"), wants(Recorder("0[.]mlp"), "0.attn.q"), wants(print, "0.attn.q")
    (False, False, True)
    """
    asked: Callable[[str], bool] | None = getattr(hook, "wants", None)
    return asked is None or asked(name)


class Recorder:
    """A hook that keeps every tensor whose full name matches ``pattern`` (``re.match``)."""

    def __init__(self, pattern: str | None = None) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._pattern = re.compile(pattern) if pattern is not None else None

    def wants(self, name: str) -> bool:
        return self._pattern is None or self._pattern.match(name) is not None

    def __call__(self, name: str, x: Tensor) -> Tensor:
        if self.wants(name):
            self.tensors[name] = x
        return x


def replace(interventions: Mapping[str, Callable[[Tensor], Tensor]]) -> Hook:
    """A hook that passes each named tensor through its function and leaves the others alone."""

    def hook(name: str, x: Tensor) -> Tensor:
        change = interventions.get(name)
        return x if change is None else change(x)

    return with_names(hook, interventions)


@dataclass(frozen=True, eq=False)
class Chain:
    """One hook that applies others from first to last. Made by ``chain``."""

    hooks: tuple[Hook, ...]

    def wants(self, name: str) -> bool:
        return any(wants(hook, name) for hook in self.hooks)

    def __call__(self, name: str, x: Tensor) -> Tensor:
        for hook in self.hooks:
            x = hook(name, x)
        return x


def chain(*hooks: Hook) -> Hook:
    """One hook that applies ``hooks`` from first to last."""
    active = tuple(hook for hook in hooks if hook is not no_hook)
    if not active:
        return no_hook
    return active[0] if len(active) == 1 else Chain(active)


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
