"""Pictures of the pages for README and documents: PYTHONPATH=. python benchmarks/screenshots.py

The app runs on what ships, in Chromium; each picture is written over the one in docs/img.
"""

import argparse
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import Browser, sync_playwright

from tests.browser.conftest import ARGUMENTS, running_app

FOLDER = Path(__file__).parent.parent / "docs" / "img"
QUOTES = {"model": "starter", "task": "single_double_quote", "sweep": "prune", "k": "k44_seed0"}
FEWEST = QUOTES | {"sweep": "full", "k": "k24_seed0_full"}
BRIDGE = QUOTES | {"model": "bridge_main", "sweep": "full", "k": "k96_seed0_full"}
KEY = "0.attn.k:210"
GRAPH = ".js-plotly-plot .point"
MOST = 240_000  # ms


@dataclass(frozen=True)
class View:
    """A page at an address, and what must be there before it is drawn."""

    name: str
    page: str
    query: dict[str, str]
    until: str = GRAPH
    width: int = 1280
    height: int = 900
    dark: bool = False


VIEWS = (
    View("home", "", {}, until="text=Take the tour"),
    View("circuit", "", QUOTES | {"nodes": KEY, "selected": KEY}),
    View("circuit_dark", "", QUOTES | {"nodes": KEY, "selected": KEY}, dark=True),
    View("circuit_narrow", "", QUOTES | {"nodes": KEY}, width=390, height=844),
    View("circuit_wide", "", QUOTES | {"nodes": KEY}, width=2560, height=1400),
    View("film", "", QUOTES | {"view": "film over k"}),
    View("node", "node", QUOTES | {"node": KEY}, until="text=Fires on"),
    View("prompt", "prompt", QUOTES, until="text=Whole model"),
    View("compare", "compare", QUOTES),
    View("tour", "tour", FEWEST),
    View("bridges", "bridges", BRIDGE, until="text=On one prompt", height=1200),
)


def take(view: View, url: str, browser: Browser) -> None:
    page = browser.new_page(
        viewport={"width": view.width, "height": view.height},
        color_scheme="dark" if view.dark else "light",
    )
    page.goto(f"{url}/{view.page}?{urlencode(view.query)}".removesuffix("?"))
    page.wait_for_selector(view.until, timeout=MOST)
    page.wait_for_function(
        "!document.querySelector('[data-testid=stSpinner], [data-stale=true], [role=progressbar]')",
        timeout=MOST,
    )
    page.wait_for_timeout(3000)  # until lines and fonts stand still
    page.screenshot(path=str(FOLDER / f"{view.name}.png"))
    page.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    names = [view.name for view in VIEWS]
    parser.add_argument("name", nargs="*", choices=[*names, []], default=[])
    wanted = parser.parse_args().name or names
    chromium = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    found = chromium if Path(chromium).exists() else None
    with (
        tempfile.TemporaryDirectory() as folder,
        running_app(Path(folder), CIRCUIT_SPARSITY_CACHE=folder) as address,
        sync_playwright() as playwright,
    ):
        running = playwright.chromium.launch(executable_path=found, args=list(ARGUMENTS))
        for one in VIEWS:
            if one.name in wanted:
                take(one, address, running)
                print(one.name, flush=True)
        running.close()
