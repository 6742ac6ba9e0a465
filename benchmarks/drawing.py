"""Milliseconds that a large circuit's graph takes to be made, and to be drawn in Chromium.

A random model of three layers of 256 channels, and a circuit of 1,000 nodes of which about 4,000
weights join two; the film holds eight nested circuits of it. Drawn by Plotly five times in a page
that shows nothing else: medians. Processor time too, as the clock's depends on what else runs.
"""

import json
import random
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from shutil import which

from playwright.sync_api import Page, sync_playwright
from plotly.offline import get_plotlyjs

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.circuits.wiring import wiring
from circuit_sparsity.core.model import GPT
from circuit_sparsity.core.names import Node, circuit_locations
from circuit_sparsity.plots.coloured_graph import cost, shaded_figure
from circuit_sparsity.plots.colours import LIGHT
from circuit_sparsity.plots.film import Film, Frame, film_figure
from circuit_sparsity.plots.layout import lay_out
from tests.browser.conftest import ARGUMENTS
from tests.runtime.random_circuits import random_model

NODES, DRAWS = 1000, 5
SHAPE = {"n_layer": 3, "n_head": 16, "d_head": 16, "d_model": 256, "d_mlp": 1024, "vocab_size": 64}

_DRAWN = """async figure => {
  const place = document.createElement('div');
  place.style.width = '900px';
  document.body.replaceChildren(place);
  const began = performance.now();
  await Plotly.newPlot(place, figure.data, figure.layout, {responsive: true});
  await new Promise(done => requestAnimationFrame(() => setTimeout(done)));
  return performance.now() - began;
}"""


def large_circuit(model: GPT, size: int) -> Circuit:
    """``size`` random nodes."""
    places = circuit_locations(model.config.n_layer)
    nodes = [Node(place, i) for place in places for i in range(model.config.width(place))]
    chosen = random.Random(0).sample(nodes, size)
    kept = {p: tuple(sorted(n.channel for n in chosen if n.location == p)) for p in places}
    return Circuit(kept, "random", "task", "sweep", str(size))


@contextmanager
def page_with_plotly() -> Iterator[Page]:
    """An empty page on which the Plotly of the Python package is loaded."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=which("chromium"), args=[*ARGUMENTS])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto("about:blank")
        page.add_script_tag(content=get_plotlyjs())
        yield page
        browser.close()


def drawn(page: Page, figure: dict) -> tuple[float, float]:
    """Milliseconds until the figure is on the screen, by the clock and of the renderer."""
    tab = page.context.new_cdp_session(page)
    tab.send("Performance.enable")

    def processor() -> float:
        metrics = tab.send("Performance.getMetrics")["metrics"]
        return next(1000 * one["value"] for one in metrics if one["name"] == "ProcessTime")

    before = processor()
    return page.evaluate(_DRAWN, figure), processor() - before


def made(circuit: Circuit, model: GPT) -> dict[str, tuple[float, dict]]:
    """Milliseconds of the processor and JSON of both figures."""
    began = time.process_time()
    wired = wiring(circuit, model)
    joins = [(edge.source, edge.target) for edge in wired.edges]
    layout = lay_out(wired.nodes, joins, model.config.d_head)
    draw = random.Random(1)
    costs = cost({node: draw.gauss(0, 1) for node in wired.nodes}, "random")
    graph = shaded_figure(wired, layout, model.config, costs, LIGHT)
    found = {"graph": ((time.process_time() - began) * 1000, json.loads(graph.to_json()))}
    print(f"{len(wired.nodes):,} nodes, {len(wired.edges):,} edges\n")
    began = time.process_time()
    order, frames = draw.sample(wired.nodes, len(wired.nodes)), []
    for size in (8, 16, 32, 64, 128, 256, 512, NODES):
        gone = [node for node in order[size:] if circuit.keeps(node)]
        frames.append(Frame(str(size), replace(circuit.without(gone), k=str(size)), 0.5))
    film = film_figure(Film(tuple(frames), wired, layout), model.config, LIGHT, 7)
    found["film"] = ((time.process_time() - began) * 1000, json.loads(film.to_json()))
    return found


if __name__ == "__main__":
    model = random_model(0, density=0.134, **SHAPE)
    figures = made(large_circuit(model, NODES), model)
    with page_with_plotly() as page:
        print("| figure | made, processor ms | drawn, ms | drawn, processor ms |")
        print("|---|---|---|---|")
        for name, (making, figure) in figures.items():
            took = [drawn(page, figure) for _ in range(DRAWS)]
            wall, processor = (statistics.median(each) for each in zip(*took, strict=True))
            print(f"| {name} | {making:.0f} | {wall:.0f} | {processor:.0f} |")
