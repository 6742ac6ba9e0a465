"""Milliseconds of a click while prunings fill the queue, against the same clicks alone: crowd.py

Fifty prunings of the starter are asked for at once, as a visitor does who presses fifty buttons.
Another visitor clicks on nodes of the default circuit meanwhile. The clicks are timed as the server
sees them: from the message of a click until the page is drawn, in a session without a browser.
"""

import random
import re
import statistics
import tempfile
import threading
from pathlib import Path

from circuit_sparsity.experiment.opening import open_circuit
from circuit_sparsity.pruning.request import PruneRequest
from circuit_sparsity.pruning.settings import FAST
from circuit_sparsity.store import Store
from circuit_sparsity.ui.prune import jobs as prune_jobs
from tests.browser.conftest import running_app
from tests.sessions import Session, process_of, resident

CIRCUIT = {"model": "starter", "task": "single_double_quote", "sweep": "prune", "k": "k44_seed0"}
REQUESTS, CLICKS, ROUNDS = 50, 40, 3


def ask_for_all(folder: Path) -> None:
    """Records of as many prunings that were cut off: the page offers each with a button."""
    store = Store.from_environment()
    store = Store(store.shipped, folder, store.url)
    for k in range(REQUESTS):
        request = PruneRequest("starter", "single_double_quote", k=20 + k, settings=FAST)
        prune_jobs.on_disk(store, f"k = {20 + k}", request, None)


def clicks(session: Session, names: list[str], dice: random.Random) -> list[float]:
    return [1e3 * session.cut(dice.choice(names)) for _ in range(CLICKS)]


def line(name: str, times: list[float]) -> str:
    p95 = sorted(times)[round(0.95 * len(times)) - 1]
    return f"| {name} | {len(times)} | {statistics.median(times):.0f} | {p95:.0f} |"


class Memory(threading.Thread):
    """The largest resident memory of a process, looked at ten times a second."""

    def __init__(self, process: int) -> None:
        super().__init__(daemon=True)
        self._process, self.most, self._stop_asked = process, 0, threading.Event()

    def run(self) -> None:
        while not self._stop_asked.wait(0.1):
            self.most = max(self.most, resident(self._process))

    def stop(self) -> None:
        self._stop_asked.set()
        self.join()


def main() -> None:
    dice, names = (
        random.Random(0),
        sorted(map(str, open_circuit(*CIRCUIT.values()).circuit.node_list)),
    )
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        ask_for_all(folder)
        with running_app(folder, CIRCUIT_SPARSITY_CACHE=place) as url:
            memory = Memory(process_of(url))
            memory.start()
            visitor = Session(url, **CIRCUIT)
            clicks(visitor, names, dice)  # warms up
            alone = [one for _ in range(ROUNDS) for one in clicks(visitor, names, dice)]
            crowd = Session(url, "prune", model="starter")
            for _ in range(REQUESTS):
                while "Start again" not in crowd.buttons:
                    crowd.open("prune", model="starter")  # an answer may be a part of the page
                crowd.press("Start again")
            crowd.open("prune", model="starter")
            waiting = [text for text in crowd.texts if re.search(r"waiting, \d+ of \d+", text)]
            full = [one for _ in range(ROUNDS) for one in clicks(visitor, names, dice)]
            memory.stop()
            print("| clicks | of them | median ms | p95 ms |\n|---|---|---|---|")
            print(line("nothing else runs", alone))
            print(line(f"{REQUESTS} prunings asked for, {len(waiting)} wait", full))
            print(f"largest resident memory: {memory.most / 1e3:.0f} MB")
            print("troubles:", visitor.troubles + crowd.troubles)


if __name__ == "__main__":
    main()
