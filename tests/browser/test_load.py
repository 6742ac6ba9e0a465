"""Twenty browsers at once for two minutes, each on one of the circuits that ship."""

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser

from circuit_sparsity.experiment.experiment import Effect, Experiment
from circuit_sparsity.experiment.opening import open_circuit
from circuit_sparsity.store import Store
from circuit_sparsity.ui.shell.pickers import PARTS
from tests.browser.conftest import Explorer, running_app
from tests.sessions import process_of, resident

pytestmark = [pytest.mark.browser, pytest.mark.soak]

BROWSERS = 20
SECONDS = 120
WARM_UP = 2  # rounds in which every browser clicks once
GROWTH = 1.10  # of resident memory after them


@dataclass
class Visitor:
    """A browser on one circuit, and what it has asked for last."""

    explorer: Explorer
    circuit: Experiment
    effects: dict[str, Effect]
    asked: str = ""

    def click(self, dice: random.Random) -> None:
        others = [name for name in self.explorer.apart() if name != self.asked]
        self.asked = dice.choice(others)
        self.explorer.cut(self.asked)

    def check(self) -> None:
        """The panel speaks of the clicked node with this circuit's own number."""
        self.explorer.without(self.asked)
        effect = self.effects[self.asked]
        assert self.explorer.delta() == pytest.approx(effect.delta, abs=1e-4), self.asked
        loss, _ = self.explorer.metric("Task loss")
        assert loss == pytest.approx(effect.after.loss, abs=1e-4)
        (name,) = self.explorer.query("k")
        assert name == self.circuit.circuit.k
        assert self.explorer.page.locator("[data-testid=stException]").count() == 0


@pytest.fixture
def visitors(browser: Browser, tmp_path) -> Iterator[tuple[list[Visitor], int]]:
    """Browsers with their circuits open, and the server's process."""
    rows = [row for row in Store.from_environment().rows() if row.where == "shipped"][:BROWSERS]
    names = [tuple(getattr(row, part) for part in PARTS) for row in rows]
    known = [open_circuit(*name) for name in names]
    effects = [_effects(it) for it in known]
    with running_app(tmp_path, CIRCUIT_SPARSITY_CACHE=str(tmp_path)) as url:
        contexts, found = [], []
        for i in range(BROWSERS):
            at = i % len(known)
            contexts.append(browser.new_context(viewport={"width": 1280, "height": 900}))
            explorer = Explorer(contexts[-1].new_page(), url)
            explorer.open(urlencode(dict(zip(PARTS, names[at], strict=True))))
            found.append(Visitor(explorer, known[at], effects[at]))
        yield found, process_of(url)
        for context in contexts:
            context.close()


def test_many_browsers_get_their_own_answers_and_memory_stays_flat(visitors):
    everyone, process = visitors
    dice, memory = random.Random(0), []
    rounds, began = 0, time.monotonic()
    while time.monotonic() - began < SECONDS or rounds <= WARM_UP:
        for visitor in everyone:
            visitor.click(dice)
        for visitor in everyone:
            visitor.check()
        rounds += 1
        memory.append(resident(process))
    assert [visitor.explorer.troubles for visitor in everyone] == [[]] * len(everyone)
    assert memory[-1] <= GROWTH * memory[WARM_UP - 1], f"kB after each of {rounds} rounds: {memory}"


def _effects(it: Experiment) -> dict[str, Effect]:
    effects = it.ablate_each(it.circuit.node_list)
    return {str(effect.parts[0]): effect for effect in effects}
