"""Rows of the benchmark table: what was measured, against what, and how much better it must be."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

Work = Callable[[], object]


@dataclass(frozen=True)
class Row:
    """One claim. ``ours`` and ``baseline`` have the same unit."""

    what: str
    ours: float
    baseline: float
    unit: str
    at_least: float  # times better
    note: str = ""

    @property
    def ratio(self) -> float:
        return self.baseline / self.ours


def print_rows(rows: list[Row]) -> None:
    print("| what | ours | baseline | ratio | at least | note |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        figures = f"{row.ours:.1f} {row.unit} | {row.baseline:.1f} {row.unit} | {row.ratio:.1f}"
        print(f"| {row.what} | {figures} | {row.at_least:g} | {row.note} |", flush=True)


def timed(what: str, ours: Work, baseline: Work, rounds: int, at_least: float) -> Row:
    """Medians of wall time in one process, both taking turns so that a busy machine slows both.

    The first round is thrown away. The note says the ratio of processor time too.
    """
    wall, cpu = _medians({"ours": ours, "baseline": baseline}, rounds)
    note = f"{torch.get_num_threads()} threads; {cpu['baseline'] / cpu['ours']:.1f} in CPU time"
    return Row(what, 1e3 * wall["ours"], 1e3 * wall["baseline"], "ms", at_least, note)


def _medians(works: dict[str, Work], rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    wall: dict[str, list[float]] = {name: [] for name in works}
    cpu: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(rounds + 1):
        for name, work in works.items():
            for _ in range(3 if name == "ours" else 1):
                began, used = time.perf_counter(), time.process_time()
                work()
                if turn:
                    wall[name].append(time.perf_counter() - began)
                    cpu[name].append(time.process_time() - used)
    return (
        {name: statistics.median(times) for name, times in wall.items()},
        {name: statistics.median(times) for name, times in cpu.items()},
    )
