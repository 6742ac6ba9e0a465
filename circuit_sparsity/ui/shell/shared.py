"""Values that all sessions share, bounded by bytes: models, circuits, figures, runs.

`shared` is to a function what `st.cache_resource` is, but for the bound: all values together take
at most `MOST` bytes, and what nobody has asked for longest goes first. A model that ten circuits
hold counts once. What goes is freed once no page holds it.
"""

import dataclasses
import functools
import inspect
import sys
import threading
import types
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import nullcontext
from typing import Any, ParamSpec, TypeVar, cast

import numpy as np
import streamlit as st
import torch
from streamlit.runtime.scriptrunner import get_script_run_ctx

Given = ParamSpec("Given")
Value = TypeVar("Value")

MOST = 512 << 20  # bytes
_LARGE = 4096  # bytes from which an array counts once, however many values hold it
_SAMPLE = 256  # of a longer list about as many are weighed, and stand for the others
_DEEPEST = 40  # a layer's weight lies some twenty attributes deep
_WITHOUT = (type, types.ModuleType, types.FunctionType, types.MethodType, threading.Thread)
_AGAIN = 8  # uses after which a value is weighed again: what it holds may grow as it is used


@dataclasses.dataclass
class Weight:
    """Bytes of a value: of its arrays by identity, and of all else; estimated."""

    arrays: dict[int, int] = dataclasses.field(default_factory=dict[int, int])
    rest: float = 0.0

    @property
    def total(self) -> float:
        return sum(self.arrays.values()) + self.rest


def weigh(value: object) -> Weight:
    """What a value takes in memory.

    >>> one = np.zeros((1000, 100))
    >>> round(weigh([one, one, one]).total, -4)
    800000.0
    """
    found = Weight()
    _add(value, found, set(), 1.0, _DEEPEST)
    return found


def _add(value: object, found: Weight, seen: set[int], times: float, depth: int) -> None:
    if id(value) in seen or depth == 0 or isinstance(value, _WITHOUT):
        return
    seen.add(id(value))
    size = _bytes_of_array(value)
    if size is not None:
        if size >= _LARGE and _buffer(value) not in found.arrays:
            found.arrays[_buffer(value)] = size
            found.rest += (times - 1) * size
        elif size < _LARGE:
            found.rest += times * (size + 100)
        return
    found.rest += times * sys.getsizeof(value, 64)
    if isinstance(value, str | bytes | bytearray | int | float | bool | None):
        return
    inner = list(_inner(value))
    step = max(1, len(inner) // _SAMPLE)
    for one in inner[::step]:
        _add(one, found, seen, times * step, depth - 1)


def _bytes_of_array(value: object) -> int | None:
    if isinstance(value, torch.Tensor):
        return value.untyped_storage().nbytes() if value.layout == torch.strided else None
    return value.nbytes if isinstance(value, np.ndarray) and value.dtype != object else None


def _buffer(value: object) -> int:
    if isinstance(value, torch.Tensor):
        return value.untyped_storage().data_ptr()
    whole = cast(np.ndarray, value)
    while isinstance(whole.base, np.ndarray):
        whole = whole.base
    return whole.ctypes.data


def _inner(value: object) -> Iterator[object]:
    """What a value holds: items, then attributes."""
    if isinstance(value, torch.Tensor):  # compressed: its arrays are attributes of no dictionary
        yield from (value.values(), value.col_indices()) if value.layout == torch.sparse_csr else ()
        return
    if isinstance(value, Mapping):
        yield from value.keys()
        yield from value.values()
    elif isinstance(value, list | tuple | set | frozenset | np.ndarray):
        yield from value
    yield from getattr(value, "__dict__", {}).values()
    for kind in type(value).__mro__:
        for name in vars(kind).get("__slots__", ()):
            yield getattr(value, name, None)


@dataclasses.dataclass
class _Entry:
    value: object
    weight: Weight
    uses: int = 0


class SharedValues:
    """Values by key, made once, at most ``most`` bytes of them together; for any thread.

    >>> kept = SharedValues(most=2_000_000)
    >>> for name in "abc":
    ...     kept.get((name,), lambda: np.zeros(100_000)).nbytes
    800000
    800000
    800000
    >>> kept.bytes <= 2_000_000, len(kept)
    (True, 2)
    """

    def __init__(self, most: int = MOST) -> None:
        self.most = most
        self._lock = threading.Lock()
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()
        self._making: dict[Hashable, threading.Lock] = {}
        self._holders: Counter[int] = Counter()  # entries that hold an array
        self._bytes = 0.0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def bytes(self) -> float:
        """What all values take together."""
        return self._bytes

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value of that key; who asks while it is made waits for it. Raises what ``make`` does.

        A value that alone is larger than the bound is made and not kept.
        """
        with self._lock:
            entry = self._used(key)
            making = self._making.setdefault(key, threading.Lock()) if entry is None else None
        if entry is not None or making is None:
            return cast(Value, cast(_Entry, entry).value)
        with making:
            with self._lock:
                entry = self._used(key)
            if entry is not None:
                return cast(Value, entry.value)
            try:
                value = make()
                weight = weigh(value)
                with self._lock:
                    self._put(key, _Entry(value, weight))
            finally:
                with self._lock:
                    self._making.pop(key, None)
        return value

    def clear(self) -> None:
        """Let go of everything."""
        with self._lock:
            self._entries.clear()
            self._holders.clear()
            self._bytes = 0.0

    def _used(self, key: Hashable) -> _Entry | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        entry.uses += 1
        if entry.uses % _AGAIN == 0:
            self._put(key, _Entry(entry.value, weigh(entry.value), entry.uses))
        return entry

    def _put(self, key: Hashable, entry: _Entry) -> None:
        if key in self._entries:
            self._drop(key)
        self._entries[key] = entry
        self._bytes += entry.weight.rest
        for buffer, size in entry.weight.arrays.items():
            self._bytes += size if not self._holders[buffer] else 0
            self._holders[buffer] += 1
        while self._bytes > self.most and self._entries:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: Hashable) -> None:
        weight = self._entries.pop(key).weight
        self._bytes -= weight.rest
        for buffer, size in weight.arrays.items():
            self._holders[buffer] -= 1
            if not self._holders[buffer]:
                del self._holders[buffer]
                self._bytes -= size


@st.cache_resource(show_spinner=False)
def values() -> SharedValues:
    """The values of this process."""
    return SharedValues()


def shared(
    spinner: str | None = None,
) -> Callable[[Callable[Given, Value]], Callable[Given, Value]]:
    """Keep what a function returns for all sessions, under its arguments.

    Arguments whose names begin with an underscore are no part of the key, the others are hashable.
    """

    def decorate(function: Callable[Given, Value]) -> Callable[Given, Value]:
        signature = inspect.signature(function)
        name = f"{function.__module__}.{function.__qualname__}"

        @functools.wraps(function)
        def kept(*args: Given.args, **kwargs: Given.kwargs) -> Value:
            given: dict[str, Any] = signature.bind(*args, **kwargs).arguments
            asked = tuple(value for key, value in given.items() if not key.startswith("_"))

            def make() -> Value:
                on_page = spinner is not None and get_script_run_ctx(suppress_warning=True)
                with st.spinner(cast(str, spinner)) if on_page else nullcontext():
                    return function(*args, **kwargs)

            return values().get((name, *asked), make)

        return kept

    return decorate
