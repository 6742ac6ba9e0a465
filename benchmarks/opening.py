"""Seconds from `streamlit run app.py` to the first graph in Chromium, everything in the cache.

A process of the app and a browser profile that is new each time, what ships in the cache, compiled
kernels there: what a person waits on the second day. The browser runs already and asks for the page
as soon as the server answers.
"""

import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from clicks import chromium

from tests.browser.conftest import PLOT, running_app

TIMES = 5


def opened(folder: Path, browser) -> tuple[float, float]:
    """Seconds until the server answered, and until the graph's nodes stood on the page."""
    began = time.perf_counter()
    with running_app(folder) as url:
        served = time.perf_counter() - began
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(url)
        page.wait_for_selector(f"{PLOT} .point", timeout=120_000)
        seen = time.perf_counter() - began
        page.close()
    return served, seen


if __name__ == "__main__":
    with TemporaryDirectory() as folder, chromium() as browser:
        times = [opened(Path(folder), browser) for _ in range(TIMES)]
    served, seen = zip(*times, strict=True)
    print("| | median s | slowest s |")
    print("|---|---|---|")
    print(f"| server answers | {statistics.median(served):.1f} | {max(served):.1f} |")
    print(f"| first graph | {statistics.median(seen):.1f} | {max(seen):.1f} |")
