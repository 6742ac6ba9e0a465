"""Processor seconds of a first and a second visit to every page: python benchmarks/pages.py

One process opens the app at a circuit, as a reader does, and then each page twice, in the order of
the menu. What counts is the processor's time of the process, all threads, from the message to the
page's last element; what a page goes on computing behind itself counts until the next page begins.
Circuits are those that ship; `--circuit MODEL TASK SWEEP K` takes another.
"""

import argparse
import time
from pathlib import Path

from streamlit.testing.v1 import AppTest

APP = Path(__file__).parent.parent / "app.py"
PAGES = (
    *("node", "attention", "tokens", "weights", "prompt", "bridges", "prune", "compare"),
    *("curves", "library", "evidence", "tasks", "claims", "tour", "home"),
)
CIRCUIT = ("starter", "single_double_quote", "prune", "k44_seed0")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--circuit", nargs=4, default=CIRCUIT)
    parser.add_argument("--pages", nargs="+", default=PAGES)
    asked = parser.parse_args()
    app = AppTest.from_file(str(APP), default_timeout=600)
    for key, value in zip(("model", "task", "sweep", "k"), asked.circuit, strict=True):
        app.query_params[key] = value
    print("| page | first visit, s | second visit, s |\n|---|---|---|")
    begun = time.process_time()
    app.run()
    print(f"| start to the circuit | {time.process_time():.2f} | |")
    for page in asked.pages:
        seconds = []
        for _ in range(2):
            begun = time.process_time()
            app.switch_page(f"pages/{page}.py").run()
            seconds.append(time.process_time() - begun)
            troubles = [*app.exception, *app.error]
            assert not troubles, (page, troubles)
            app.switch_page("pages/circuit.py").run()
        print(f"| {page} | {seconds[0]:.2f} | {seconds[1]:.2f} |", flush=True)


if __name__ == "__main__":
    main()
