"""How long to go on when the service does not answer well, and how to stop."""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from circuit_sparsity.store.errors import Cancelled, Later, Unreachable

Value = TypeVar("Value")


@dataclass(frozen=True)
class Patience:
    """How many tries, and how long each may take."""

    tries: int = 6  # in a row that bring no byte
    first_wait: float = 0.5  # seconds; doubles with each try
    longest_wait: float = 20.0  # seconds
    longest_asked: float = 120.0  # seconds: a server that asks for a longer wait is not waited for
    connect: float = 10.0  # seconds
    read: float = 30.0  # seconds without a byte


class Tries:
    """Counts the failures in a row of one piece of work."""

    def __init__(self, name: str, patience: Patience, cancel: threading.Event) -> None:
        self._name, self._patience, self._cancel = name, patience, cancel
        self._failures = 0

    def again(self, trouble: Later, got_on: bool = False, kept: str = "") -> None:
        """Wait before the next try: longer each time, or as long as the server asks.

        Raises `Unreachable` when there have been enough; a try that got on starts the count anew.
        """
        self._failures = 1 if got_on else self._failures + 1
        if self._failures >= self._patience.tries:
            raise Unreachable(
                f"{self._name} could not be had: {trouble} ({self._failures} tries){kept}. "
                "Check the network, or set CIRCUIT_SPARSITY_URL to a mirror"
            ) from trouble
        asked = trouble.wait or 0.0
        if asked > self._patience.longest_asked:
            raise Unreachable(
                f"{self._name} could not be had: {trouble}, and asks to come back in "
                f"{asked:,.0f} seconds{kept}. Try again then"
            ) from trouble
        longest = self._patience.first_wait * 2 ** (self._failures - 1)
        # The random part keeps many clients from coming back in step.
        backed_off = min(self._patience.longest_wait, longest) * random.uniform(0.5, 1.0)
        self._cancel.wait(max(asked, backed_off))
        stop_if(self._cancel, self._name)


def patiently(
    act: Callable[[], Value], name: str, patience: Patience, cancel: threading.Event
) -> Value:
    """The value of `act`, tried again while its trouble may pass."""
    tries = Tries(name, patience, cancel)
    while True:
        stop_if(cancel, name)
        try:
            return act()
        except Later as trouble:
            tries.again(trouble)


def stop_if(cancel: threading.Event, name: str) -> None:
    """Raise `Cancelled` if the caller wants no more."""
    if cancel.is_set():
        raise Cancelled(f"{name}: stopped; what has arrived is kept for the next time")
