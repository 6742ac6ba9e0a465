"""The app in a process of its own, and a real Chromium on it."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.ui.conftest import QUERY, fill

ROOT = Path(__file__).parent.parent.parent
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
)
TIMEOUT = 120_000  # ms; a loaded machine takes its time to import torch


@pytest.fixture(scope="session")
def app_cache(release_fixture: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("browser") / "cache", release_fixture)


@pytest.fixture(scope="session")
def app_url(app_cache: Path) -> Iterator[str]:
    """The address of a running app."""
    with running_app(app_cache, CIRCUIT_SPARSITY_CACHE=str(app_cache)) as url:
        yield url


@contextmanager
def running_app(folder: Path, **settings: str) -> Iterator[str]:
    """The app in a process with these settings in its environment; its log lies in `folder`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (folder / "app.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless=true",
         f"--server.port={port}"],
        cwd=ROOT,
        env=os.environ | settings,
        stdout=log,
        stderr=log,
    )  # fmt: skip
    try:
        _wait(f"http://127.0.0.1:{port}/_stcore/health", process, folder / "app.log")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(TIMEOUT / 1000)
        log.close()


def _wait(url: str, process: subprocess.Popen, log: Path) -> None:
    for _ in range(600):
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"the app did not start:\n{log.read_text()}")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    with sync_playwright() as playwright:
        if found is None and not Path(playwright.chromium.executable_path).exists():
            missing = "no Chromium here; `make chromium` says how to get one"
            if os.environ.get("REQUIRE_BROWSER"):
                pytest.fail(missing)
            pytest.skip(f"LOUD SKIP: {missing}")
        running = playwright.chromium.launch(executable_path=found, args=list(ARGUMENTS))
        yield running
        running.close()


class Explorer:
    """A browser page on the app, with the words that tests use."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        self.troubles: list[str] = []
        self.waited = 0  # how often
        page.set_default_timeout(TIMEOUT)
        page.add_init_script(_WATCH_SOCKET)
        page.on("pageerror", lambda error: self.troubles.append(str(error)))
        page.on("console", self._console)
        page.on("request", self._see)

    def _console(self, message) -> None:
        if message.type == "error":
            self.troubles.append(message.text)

    def _see(self, request) -> None:
        if not request.url.startswith((self.url, "data:", "blob:")):
            self.troubles.append(f"asked the network for {request.url}")

    def open(self, query: str = "") -> "Explorer":
        """Open the circuit page and wait until its nodes are clickable."""
        self.page.goto(f"{self.url}/?{query}")
        self.page.wait_for_selector(f"{PLOT} .point")
        self.page.wait_for_function(f"!!document.querySelector('{PLOT}')?.dataset.linked")
        self.wait_until_idle()
        return self

    def wait_until_idle(self) -> None:
        """Wait until no script runs, and none is about to: what was sent has been answered."""
        self.waited += 1
        self.page.wait_for_function(_IDLE, arg=self.waited)

    def names(self) -> list[str]:
        """The nodes of the graph."""
        found = self.page.evaluate(f"document.querySelector('{PLOT}').data[0].customdata")
        return [name for name in found if ":" in name]

    def apart(self) -> list[str]:
        """Nodes that no other lies upon: where several are near, the chart picks one of them."""
        return self.page.evaluate(_APART)

    def marked(self) -> list[str]:
        """The nodes that the graph shows as switched off."""
        data = f"document.querySelector('{PLOT}').data[0]"
        return self.page.evaluate(
            f"(({data}).selectedpoints || []).map(i => ({data}).customdata[i])"
        )

    def pixel(self, node: str) -> tuple[float, float]:
        """Where the node is on the screen, scrolled into view."""
        x, y = self.page.evaluate(_PIXEL, node)
        height = self.page.evaluate("window.innerHeight")
        if not 80 < y < height - 20:
            main = "document.querySelector('[data-testid=stMain]')"
            self.page.evaluate(f"dy => {main}.scrollBy(0, dy)", y - height / 2)
            x, y = self.page.evaluate(_PIXEL, node)
        return x, y

    def click(self, node: str, shift: bool = False) -> None:
        x, y = self.pixel(node)
        if shift:
            self.page.keyboard.down("Shift")
        self.page.mouse.click(x, y)
        if shift:
            self.page.keyboard.up("Shift")

    def cut(self, node: str) -> None:
        """Ablate the node, or restore it: a double click."""
        self.page.mouse.dblclick(*self.pixel(node))

    def card(self, part: str) -> None:
        """Wait until the inspector has the card of the node or edge that is looked at."""
        self.page.wait_for_selector(f"h5:has-text('{part}'):not(:has-text('With'))")
        self.wait_until_idle()

    def tab(self, name: str) -> None:
        """Open a tab of the drawer below the graph."""
        self.page.get_by_role("tab", name=name, exact=True).click()

    def without(self, what: str) -> None:
        """Wait until the panel speaks of the circuit without `what`."""
        self.page.wait_for_selector(f"h5:has-text('Without'):has-text('{what}')")
        self.wait_until_idle()

    def whole(self) -> None:
        """Wait until the panel speaks of the whole circuit."""
        self.page.wait_for_selector("h5:has-text('The circuit, unchanged')")
        self.wait_until_idle()

    def metric(self, label: str) -> tuple[float, str]:
        """Value and second line of a number of the panel."""
        box = self.page.locator("[data-testid=stMetric]").filter(has_text=label)
        value = box.locator("[data-testid=stMetricValue]").inner_text()
        return float(value), box.locator("[data-testid=stMetricDelta]").inner_text().strip()

    def delta(self) -> float:
        """The change of the task loss that the panel shows."""
        change = self.metric("Task loss")[1].split()[0]
        return float(change.replace("\N{MINUS SIGN}", "-"))

    def query(self, key: str) -> list[str]:
        """What the address says."""
        script = "key => new URLSearchParams(location.search).getAll(key)"
        return self.page.evaluate(script, key)


# When the page sent something to the server last, and when it answered from it.
_WATCH_SOCKET = """(() => {
  if (window.wire) return;
  const wire = window.wire = { sent: 0, answered: 0 }, send = WebSocket.prototype.send;
  WebSocket.prototype.send = function (...what) {
    wire.sent = performance.now();
    if (!this.listened) {
      this.listened = true;
      this.addEventListener("message", () => { wire.answered = performance.now(); });
    }
    return send.apply(this, what);
  };
})()"""
# A moment of quiet as well: what a message changes is drawn some milliseconds later. What nobody
# answers is not waited for.
_IDLE = """(call) => {
  const now = performance.now(), { wire } = window;
  const state = document.querySelector("[data-testid=stApp]")?.dataset.testScriptState;
  const open = wire && wire.sent > wire.answered && now - wire.sent < 5000;
  if (state !== "notRunning" || open || window.waiting?.call !== call) {
    window.waiting = { call, since: now };
    return false;
  }
  return now - window.waiting.since > 100;
}"""
PLOT = ".st-key-circuit_graph .js-plotly-plot"
_PIXEL = f"""name => {{
  const plot = document.querySelector('{PLOT}'), box = plot.getBoundingClientRect();
  const {{ _size: size, xaxis, yaxis }} = plot._fullLayout, points = plot.data[0];
  const i = points.customdata.indexOf(name);
  return [box.left + size.l + xaxis.c2p(points.x[i]), box.top + size.t + yaxis.c2p(points.y[i])];
}}"""


_APART = f"""() => {{
  const plot = document.querySelector('{PLOT}'), {{ xaxis, yaxis }} = plot._fullLayout;
  const {{ x, y, customdata }} = plot.data[0];
  const at = customdata.map((_, i) => [xaxis.c2p(x[i]), yaxis.c2p(y[i])]);
  const near = (i, j) => i !== j && Math.hypot(at[i][0] - at[j][0], at[i][1] - at[j][1]) < 14;
  return customdata.filter((name, i) => name.includes(":") && !at.some((_, j) => near(i, j)));
}}"""


@pytest.fixture
def explorer(browser: Browser, app_url: str) -> Iterator[Explorer]:
    """A fresh browser session; fails when its console shows an error or it leaves the machine."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    found = Explorer(context.new_page(), app_url)
    yield found
    context.close()
    assert found.troubles == []


@contextmanager
def opened_by_link(browser: Browser, url: str, link: str) -> Iterator[Explorer]:
    """A link opened in a browser that knows nothing; fails as `explorer` does.

    Streamlit asks a page's address for two files before it asks for them where they are.
    """
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    found, failed = Explorer(context.new_page(), url), []
    found.page.on("response", lambda r: failed.append(r.url) if r.status >= 400 else None)
    found.page.goto(link)
    yield found
    context.close()
    asked = ("_stcore/health", "_stcore/host-config")
    assert all(address.endswith(asked) for address in failed), failed
    assert [trouble for trouble in found.troubles if "404" not in trouble] == []


@pytest.fixture(scope="session")
def told(app_cache: Path) -> dict[str, dict]:
    """What `ablate --json --all` says of each node."""
    arguments = ["ablate", *QUERY.values(), "--all", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "circuit_sparsity", *arguments],
        cwd=ROOT,
        env=os.environ | {"CIRCUIT_SPARSITY_CACHE": str(app_cache)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    return {row["node"]: row for row in answer["nodes"]}
