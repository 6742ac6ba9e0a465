"""Milliseconds from a click on a node to its numbers on the page, in Chromium: clicks.py

The starter's default circuit, and a random model of the csp_yolo2 shape with a circuit of 133 nodes
on 32 prompts of 64 tokens. Timed by the page's own clock, from the press of the button to the
card's heading. The server's share is from the click's message to the message with
that heading, as Chromium saw them go and come.
"""

import base64
import json
import shutil
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlencode

from circuits import Bench, connected_circuit
from models import YOLO2, random_weights
from playwright.sync_api import Browser, Page, sync_playwright
from safetensors.torch import save_file

from circuit_sparsity.core.checkpoint import COMPACT_FILE, CONFIG_FILE, pack
from circuit_sparsity.experiment.experiment import Experiment
from circuit_sparsity.experiment.measurement import measure_stored
from circuit_sparsity.release import write_means, write_viz
from tests.browser.conftest import ARGUMENTS, Explorer, running_app

CLICKS = 40
ROOT = Path(__file__).parent.parent
LARGE = {"model": "yolo2_shape", "task": "random", "sweep": "walk", "k": "133"}
STARTER = {"model": "starter", "task": "single_double_quote", "sweep": "prune", "k": "k44_seed0"}

_TIMED = """name => new Promise(done => {
  let began = null;
  setTimeout(() => done(null), 20000); // another node lies over this one
  addEventListener('mouseup', () => { began = performance.now(); }, {capture: true, once: true});
  const look = () => {
    const said = [...document.querySelectorAll('h5')].some(
      h => h.textContent.includes(name));
    if (said && began !== null) done(performance.now() - began); else requestAnimationFrame(look);
  };
  look();
})"""


def with_large_model(cache: Path) -> None:
    """Put a random model of the csp_yolo2 shape and a circuit of it into ``cache``."""
    bench = Bench(YOLO2)
    folder = cache / "models" / LARGE["model"]
    folder.mkdir(parents=True)
    (folder / CONFIG_FILE).write_text(json.dumps(YOLO2.config.to_dict()))
    save_file(pack(random_weights(YOLO2)), folder / COMPACT_FILE)
    for name in ("vocab.bpe", "encoder.json"):
        shutil.copy(ROOT / "cache" / "models" / "starter" / name, folder / name)
    viz = cache / "viz" / LARGE["model"]
    place = viz / LARGE["task"] / LARGE["sweep"] / LARGE["k"]
    place.mkdir(parents=True)
    write_means(bench.means, viz / "mean_baseline_pretrain.pt")
    circuit = connected_circuit(bench.model, 133, 0)
    opened = Experiment(circuit, bench.model, bench.means, bench.batch)
    write_viz(measure_stored(opened), place / "viz_data.pt")


class Messages:
    """When the click went to the server and when its answer came, in the browser's clock."""

    def __init__(self, page: Page) -> None:
        self.sent: list[float] = []
        self.answers: list[float] = []
        session = page.context.new_cdp_session(page)
        session.on(
            "Network.webSocketFrameSent", lambda opened: self.sent.append(opened["timestamp"])
        )
        session.on("Network.webSocketFrameReceived", self._console)
        session.send("Network.enable")

    def _console(self, message: dict) -> None:
        if b"##### `" in base64.b64decode(message["response"]["payloadData"]):
            self.answers.append(message["timestamp"])

    def forget(self) -> None:
        self.sent.clear()
        self.answers.clear()

    def answered(self) -> float:
        """Milliseconds from the click's message to the message with the panel's heading."""
        return 1e3 * (min(self.answers) - min(self.sent))


def clicked(browser: Browser, url: str, query: dict[str, str]) -> list[tuple[float, float]]:
    """Milliseconds of each click, page and server, the first ones left out: they warm up."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    messages = Messages(page)
    explorer = Explorer(page, url).open(urlencode(query))
    names = explorer.names()
    times = []
    for i in range(CLICKS + 3):
        name = names[i * 7 % len(names)]
        x, y = explorer.pixel(name)
        timing = page.evaluate_handle(f"name => ({{done: ({_TIMED})(name)}})", name)
        messages.forget()
        page.mouse.click(x, y)
        time = timing.evaluate("it => it.done")
        explorer.wait_until_idle()
        if time is not None and i >= 3:
            times.append((time, messages.answered()))
    page.close()
    return times


def line(name: str, times: list[float]) -> str:
    """Median and 95th percentile as a row of the table."""
    p95 = sorted(times)[round(0.95 * len(times)) - 1]
    return f"| {name} | {len(times)} | {statistics.median(times):.0f} | {p95:.0f} |"


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = shutil.which("chromium")
        running = playwright.chromium.launch(executable_path=found, args=list(ARGUMENTS))
        yield running
        running.close()


if __name__ == "__main__":
    with ExitStack() as stack:
        cache = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        with_large_model(cache)
        url = stack.enter_context(running_app(cache, CIRCUIT_SPARSITY_CACHE=str(cache)))
        browser = stack.enter_context(chromium())
        print("| circuit | clicks | median ms | p95 ms |")
        print("|---|---|---|---|")
        for query in (STARTER, LARGE):
            page, server = zip(*clicked(browser, url, query), strict=True)
            name = f"{query['model']} {query['k']}"
            print(line(f"{name}, click to panel", page))
            print(line(f"{name}, of that the server", server))
