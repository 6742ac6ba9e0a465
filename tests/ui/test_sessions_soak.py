"""Sessions that come and go on changing circuits: memory stays bounded, nobody sees an error.

`SOAK_SECONDS` says how long, ten minutes without it; the figures go to the output.
"""

import os
import random
import re
import statistics
import time
from pathlib import Path

import pytest

from circuit_sparsity.experiment.opening import open_circuit
from circuit_sparsity.store import Store
from circuit_sparsity.ui.shell.pickers import PARTS
from tests.browser.conftest import running_app
from tests.sessions import Session, process_of, resident

pytestmark = pytest.mark.soak

SESSIONS = 20
SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))
CEILING = 1500  # MB of resident memory
LEAVES = 0.15  # chance that a visitor goes after a click
PAGES = (
    "node",
    "prompt",
    "attention",
    "tokens",
    "curves",
    "compare",
    "evidence",
    "library",
    "tasks",
)


class Visitor:
    """A session on a circuit of its own, which clicks, looks at a page, and goes."""

    def __init__(self, url: str, circuit: tuple[str, ...], dice: random.Random) -> None:
        self._query, self._dice = dict(zip(PARTS, circuit, strict=True)), dice
        self._names = sorted(map(str, open_circuit(*circuit).circuit.node_list))
        self.session = Session(url, **self._query)

    def click(self) -> float:
        return self.session.cut(self._dice.choice(self._names))

    def go(self) -> list[str]:
        """Look at one more page, and leave; the errors that were shown."""
        before, page = list(self.session.troubles), self._dice.choice(PAGES)
        self.session.open(page, **self._query)
        self.session.close()
        shown = self.session.troubles[len(before) :]
        if page == "evidence":  # whose verdicts may be red
            shown = [one for one in shown if re.match(r"\w+(Error|Exception):", one)]
        return before + shown


def test_memory_stays_under_the_ceiling_while_sessions_come_and_go(tmp_path: Path) -> None:
    dice, rows = random.Random(0), Store.from_environment().rows()
    known = [tuple(getattr(r, part) for part in PARTS) for r in rows if r.where == "shipped"]
    troubles: list[str] = []
    clicks: list[float] = []
    memory: list[int] = []
    visitors = 0
    with running_app(tmp_path, CIRCUIT_SPARSITY_CACHE=str(tmp_path)) as url:
        process, began, here = process_of(url), time.monotonic(), []
        while time.monotonic() - began < SECONDS:
            while len(here) < SESSIONS:
                here.append(Visitor(url, dice.choice(known), dice))
                visitors += 1
            one = dice.choice(here)
            clicks.append(one.click())
            if dice.random() < LEAVES:
                here.remove(one)
                troubles += one.go()
            memory.append(resident(process) // 1000)
        for one in here:
            troubles += one.go()
        time.sleep(min(150, SECONDS / 4))  # a closed session is kept two minutes, to come back to
        left = resident(process) // 1000
    p95 = sorted(clicks)[round(0.95 * len(clicks)) - 1]
    early = memory[len(memory) // 10]
    figures = (
        f"{visitors} sessions, {len(clicks)} clicks on {len(known)} circuits in {SECONDS:.0f} s; "
        f"click: median {1e3 * statistics.median(clicks):.0f} ms, p95 {1e3 * p95:.0f} ms; "
        f"MB: {early} after a tenth, {max(memory)} at most, {left} when all had gone"
    )
    print(figures)  # noqa: T201
    assert troubles == []
    assert max(memory) <= CEILING
