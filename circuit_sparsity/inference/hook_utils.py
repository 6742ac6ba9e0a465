"""The released hook interface: record and change named tensors of every forward pass inside.

Unlike the released one it is local to its thread: a pass in another thread sees nothing of it.
``get_context`` and ``set_context`` carry it to one on purpose. Blocks may be nested.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from circuit_sparsity.core.hooks import Hook, ambient, ambient_hook, chain, no_hook, set_ambient

Change = Callable[[Tensor], Tensor]
Changes = Mapping[str, Change]  # by full name
Transform = Callable[[Changes], Changes]


@dataclass(frozen=True)
class _Recording:
    """One ``with hook_recorder(...)``: what it keeps, and what it changes."""

    tensors: dict[str, Tensor] | None  # None: nothing is kept
    pattern: re.Pattern[str]
    changes: Changes
    save_grads: bool

    def __call__(self, name: str, x: Tensor, transform: Transform) -> Tensor:
        change = transform(self.changes).get(name)
        x = x if change is None else change(x)
        if self.tensors is None:
            return x
        if self.save_grads and self.pattern.match(f"{name}.grad"):
            x = _watched(x, partial(self.tensors.__setitem__, f"{name}.grad"))
        if self.pattern.match(name):
            self.tensors[name] = x
        return x


@dataclass(frozen=True)
class HookContext:
    """What is recorded and changed, and under which namespace: a value, made anew by each block.

    Its methods are the functions of this module, which act on the context of their thread.
    """

    recordings: tuple[_Recording, ...] = ()  # from the outermost to the innermost
    namespace: str = ""  # before each name; empty, or ends in a dot
    transform: Transform | None = None
    around: Hook = no_hook  # what the thread's passes go through besides

    @staticmethod
    def hook_recorder(
        regex: str | None = ".*", interventions: Changes | None = None, save_grads: bool = False
    ) -> AbstractContextManager[dict[str, Tensor]]:
        return hook_recorder(regex, interventions, save_grads)

    @staticmethod
    def hook_namespace(name: str) -> AbstractContextManager[None]:
        return hook_namespace(name)

    @staticmethod
    def hook_save(name: str, tensor: Tensor) -> Tensor:
        return hook_save(name, tensor)

    @staticmethod
    def hook_intervention_transform(
        intervention_transformer: Transform,
    ) -> AbstractContextManager[None]:
        return hook_intervention_transform(intervention_transformer)

    def _apply(self, name: str, x: Tensor) -> Tensor:
        name = self.namespace + name
        innermost = self.recordings[-1:] or (_NOTHING,)
        for recording in self.recordings[:-1]:
            x = recording(name, x, _unchanged)
        return innermost[0](name, x, self.transform or _unchanged)


def _unchanged(changes: Changes) -> Changes:
    return changes


_IDLE = HookContext()
_NOTHING = _Recording(None, re.compile(".*"), {}, False)
_context: ContextVar[HookContext] = ContextVar("hook context", default=_IDLE)


@contextmanager
def hook_recorder(
    regex: str | None = ".*", interventions: Changes | None = None, save_grads: bool = False
) -> Iterator[dict[str, Tensor]]:
    """A dict that fills with ``{name: tensor}`` as models run inside the block.

    ``regex`` is ``re.match``ed on the full name; ``interventions`` map a name to a function of its
    tensor; what is recorded is the value after them. With ``save_grads`` each tensor's gradient
    arrives under ``<name>.grad`` when something is run backwards, where ``regex`` matches that
    name; a model whose parameters are frozen is differentiated from its first such tensor on.
    """
    recorded: dict[str, Tensor] = {}
    pattern = re.compile(".*" if regex is None else regex)
    recording = _Recording(recorded, pattern, dict(interventions or {}), save_grads)
    now = _context.get()
    with _inside(replace(now, recordings=(*now.recordings, recording), namespace="")):
        yield recorded


@contextmanager
def hook_namespace(name: str) -> Iterator[None]:
    """Put ``name`` and a dot before every name inside the block."""
    now = _context.get()
    with _inside(replace(now, namespace=f"{now.namespace}{name}.")):
        yield


def hook_save(name: str, tensor: Tensor) -> Tensor:
    """Show a tensor to this thread's recorders, as a model does; go on with what comes back."""
    return ambient_hook()(name, tensor)


@contextmanager
def hook_intervention_transform(intervention_transformer: Transform) -> Iterator[None]:
    """Inside the block, interventions are what ``intervention_transformer`` makes of them.

    It is given the mapping of the innermost recorder, empty where there is none; a transform inside
    another is given to the outer one.
    """
    now = _context.get()
    before = now.transform or _unchanged

    def composed(changes: Changes) -> Changes:
        return intervention_transformer(before(changes))

    with _inside(replace(now, transform=composed)):
        yield


def get_context() -> HookContext:
    """What is recorded and changed in this thread now."""
    return _context.get()


def set_context(new_context: HookContext) -> None:
    """Make ``new_context`` this thread's, for instance that of the thread which started it."""
    _context.set(new_context)
    set_ambient(_hook_of(new_context))


def torch_recompute_preserving_hook_context(
    f: Callable[..., Any], *xs: Any, use_reentrant: bool | None = None
) -> Any:
    """``f(*xs)`` by ``torch.utils.checkpoint``: what is inside is computed again on the way back.

    Interventions apply to both computations; what is recorded is what the first one gave.
    """
    context = _context.get()
    silent = replace(
        context, recordings=tuple(replace(one, tensors=None) for one in context.recordings)
    )
    is_first = True

    def run(*xs: Any) -> Any:
        nonlocal is_first
        if is_first:
            is_first = False
            return f(*xs)
        with _inside(silent):
            return f(*xs)

    return checkpoint(run, *xs, use_reentrant=bool(use_reentrant))


@contextmanager
def _inside(context: HookContext) -> Iterator[None]:
    """The block runs in ``context``."""
    before = _context.get()
    if _hook_of(before) is no_hook:  # the first block of this thread: keep what is around it
        context = replace(context, around=ambient_hook())
    token = _context.set(context)
    try:
        with ambient(_hook_of(context)):
            yield
    finally:
        _context.reset(token)


def _hook_of(context: HookContext) -> Hook:
    """What a model's pass goes through; nothing where a context records and changes nothing."""
    if not context.recordings and context.transform is None:
        return context.around
    return chain(context.around, _apply_now)


def _apply_now(name: str, x: Tensor) -> Tensor:
    return _context.get()._apply(name, x)


def _watched(x: Tensor, keep: Callable[[Tensor], None]) -> Tensor:
    """``x`` as a tensor of its own whose gradient is kept when it arrives."""
    if not torch.is_grad_enabled() or not x.is_floating_point():
        return x
    x = x.view_as(x) if x.requires_grad else x.detach().requires_grad_()

    def arrived(gradient: Tensor) -> None:
        keep(gradient)

    x.register_hook(arrived)
    return x
