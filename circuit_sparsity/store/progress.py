"""How far a transfer is, how fast, and how long it will take."""

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass


def size_in_words(size: int | None) -> str:
    """Decimal units, as disks and downloads are sold.

    >>> size_in_words(642_319_670), size_in_words(812), size_in_words(None)
    ('642.3 MB', '812 B', 'size unknown')
    """
    if size is None:
        return "size unknown"
    value = float(size)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.2f} GB"


def time_in_words(seconds: float | None) -> str:
    """
    >>> time_in_words(75.0), time_in_words(None)
    ('1 min 15 s', 'time unknown')
    """
    if seconds is None:
        return "time unknown"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


@dataclass(frozen=True)
class Progress:
    """One report."""

    name: str  # of the file
    done: int  # bytes here
    total: int | None  # bytes of the whole; None when the server did not say
    speed: float | None  # bytes a second over the last seconds; None at the start
    remaining: float | None  # seconds; None when it cannot be said


ProgressReport = Callable[[Progress], object]

_WINDOW = 5.0  # seconds over which the speed is taken
_PAUSE = 0.1  # seconds between two reports at the least


class Pace:
    """Bytes a second over the last seconds, over one file or over several, one after the other.

    What was there when a file began, and what it loses when it starts over, are no bytes moved.

    >>> pace = Pace()
    >>> [pace(*now) for now in ((0.0, "a", 500), (1.0, "a", 600), (2.0, "b", 0), (3.0, "b", 200))]
    [None, 100.0, 50.0, 100.0]
    """

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()  # moment, bytes moved until then
        self._file, self._last, self._moved = "", 0, 0

    def __call__(self, moment: float, file: str, done: int) -> float | None:
        """The speed, now that `done` bytes of `file` are here; None before anything moved."""
        if file == self._file and done > self._last:
            self._moved += done - self._last
        self._file, self._last = file, done
        self._samples.append((moment, self._moved))
        while moment - self._samples[0][0] > _WINDOW and len(self._samples) > 2:
            self._samples.popleft()
        then, before = self._samples[0]
        if moment <= then or self._moved <= before:
            return None
        return (self._moved - before) / (moment - then)


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
        self, name: str, report: ProgressReport | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._name, self._report, self._clock = name, report, clock
        self._pace, self._told = Pace(), -math.inf

    def __call__(self, done: int, total: int | None, last: bool = False) -> None:
        """Say that `done` of `total` bytes are here; the `last` report is never left out."""
        if self._report is None:
            return
        now = self._clock()
        if not last and now - self._told < _PAUSE:
            return
        self._told = now
        speed = self._pace(now, self._name, done)
        self._report(Progress(self._name, done, total, speed, time_left(done, total, speed)))


def time_left(done: int, total: int | None, speed: float | None) -> float | None:
    """Seconds that the rest takes at this speed; None when it cannot be said."""
    return max(0, total - done) / speed if total is not None and speed else None
