"""How long to go on when the service does not answer well, and how to stop."""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from circuit_sparsity.store.errors import Later, TransferCancelled, Unreachable

Value = TypeVar("Value")


@dataclass(frozen=True)
class RetryPolicy:
    """How many tries, and how long each may take."""

    tries: int = 6  # in a row that bring no byte
    first_wait: float = 0.5  # seconds; doubles with each try
    longest_wait: float = 20.0  # seconds
    longest_asked: float = 120.0  # seconds: a server that asks for a longer wait is not waited for
    connect: float = 10.0  # seconds
    read: float = 30.0  # seconds without a byte
    slowest: float = 1000.0  # bytes a second over a whole transfer, less is given up ...
    grace: float = 120.0  # ... after so many seconds


class Tries:
    """Counts the failures in a row of one piece of work."""

    def __init__(self, name: str, retry: RetryPolicy, cancel: threading.Event) -> None:
        self._name, self._policy, self._cancel = name, retry, cancel
        self._failures = 0

    def again(self, trouble: Later, got_on: bool = False, kept: str = "") -> None:
        """Wait before the next try: longer each time, or as long as the server asks.

        Raises `Unreachable` when there have been enough; a try that got on starts the count anew.
        """
        self._failures = 1 if got_on else self._failures + 1
        if self._failures >= self._policy.tries:
            raise Unreachable(
                f"{self._name} could not be fetched: {trouble} ({self._failures} tries){kept}. "
                "Check the network, or set CIRCUIT_SPARSITY_URL to a mirror"
            ) from trouble
        asked = trouble.wait or 0.0
        if asked > self._policy.longest_asked:
            raise Unreachable(
                f"{self._name} could not be fetched: {trouble}, and asks to come back in "
                f"{asked:,.0f} seconds{kept}. Try again then"
            ) from trouble
        longest = self._policy.first_wait * 2 ** (self._failures - 1)
        # The random part keeps many clients from coming back in step.
        backed_off = min(self._policy.longest_wait, longest) * random.uniform(0.5, 1.0)
        self._cancel.wait(max(asked, backed_off))
        stop_if(self._cancel, self._name)


def with_retries(
    act: Callable[[], Value], name: str, retry: RetryPolicy, cancel: threading.Event
) -> Value:
    """The value of `act`, tried again while its trouble may pass."""
    tries = Tries(name, retry, cancel)
    while True:
        stop_if(cancel, name)
        try:
            return act()
        except Later as trouble:
            tries.again(trouble)


def stop_if(cancel: threading.Event, name: str) -> None:
    """Raise `TransferCancelled` if the caller wants no more."""
    if cancel.is_set():
        raise TransferCancelled(f"{name}: stopped; what has arrived is kept for the next time")
