"""How far a transfer is, how fast, and how long it will take."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """One report."""

    name: str  # of the file
    done: int  # bytes here
    total: int | None  # bytes of the whole; None when the server did not say
    speed: float | None  # bytes a second over the last seconds; None at the start
    remaining: float | None  # seconds; None when it cannot be said


Report = Callable[[Progress], object]

_WINDOW = 5.0  # seconds over which the speed is taken
_PAUSE = 0.1  # seconds between two reports at the least


class Meter:
    """Turns lengths into reports, at most ten a second.

    >>> moments = iter([0.0, 1.0, 2.0])
    >>> meter = Meter("f", lambda p: print(p.done, p.speed, p.remaining), lambda: next(moments))
    >>> for done in (0, 100, 300):
    ...     meter(done, 600)
    0 None None
    100 100.0 5.0
    300 150.0 2.0
    """

    def __init__(
        self, name: str, report: Report | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._name, self._report, self._clock = name, report, clock
        self._samples: deque[tuple[float, int]] = deque()
        self._told = -_PAUSE

    def __call__(self, done: int, total: int | None, last: bool = False) -> None:
        """Say that `done` of `total` bytes are here; the `last` report is never left out."""
        if self._report is None:
            return
        now = self._clock()
        if not last and self._samples and now - self._told < _PAUSE:
            return
        self._told = now
        if self._samples and done < self._samples[-1][1]:
            self._samples.clear()  # started over: the old lengths say nothing about the speed
        self._samples.append((now, done))
        while now - self._samples[0][0] > _WINDOW and len(self._samples) > 2:
            self._samples.popleft()
        self._report(Progress(self._name, done, total, *self._pace(total)))

    def _pace(self, total: int | None) -> tuple[float | None, float | None]:
        (then, before), (now, done) = self._samples[0], self._samples[-1]
        if now <= then or done <= before:
            return None, None
        speed = (done - before) / (now - then)
        return speed, None if total is None else max(0, total - done) / speed
