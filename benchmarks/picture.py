"""What computing costs against density, and against the nodes of a circuit, as pictures."""

import os
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright
from plotly import graph_objects as go
from table import Row


def draw_density(parts: tuple[int, ...], rows: list[Row], path: Path) -> None:
    """Milliseconds of both engines over one over density, both axes logarithmic."""
    figure = go.Figure(layout_template="plotly_white")
    for name, times in (
        ("dense engine", [row.baseline for row in rows]),
        ("sparse engine", [row.ours for row in rows]),
    ):
        figure.add_scatter(x=[1 / part for part in parts], y=times, name=name)
    ticks = {"tickvals": [1 / part for part in parts], "ticktext": [f"1/{part}" for part in parts]}
    figure.update_xaxes(type="log", title="share of weights that is not zero", **ticks)
    figure.update_yaxes(type="log", title="milliseconds for 256 tokens", dtick=1)
    figure.update_layout(width=800, height=450, title=_title(parts, rows))
    _save(figure, path)


def draw_nodes(sizes: tuple[int, ...], rows: list[Row], path: Path) -> None:
    """Milliseconds of one ablation over the nodes of a circuit, both axes logarithmic."""
    figure = go.Figure(layout_template="plotly_white")
    for name, times in (
        ("the whole model, dense, hooked", [row.baseline for row in rows]),
        ("compiled circuit", [row.ours for row in rows]),
    ):
        figure.add_scatter(x=list(sizes), y=times, name=name)
    figure.update_xaxes(type="log", title="nodes of the circuit", tickvals=list(sizes))
    figure.update_yaxes(type="log", title="milliseconds for 32 prompts of 64 tokens", dtick=1)
    title = "One ablation costs what the circuit keeps (csp_yolo2 shape)"
    figure.update_layout(width=800, height=450, title=title)
    _save(figure, path)


def _title(parts: tuple[int, ...], rows: list[Row]) -> str:
    """Says the largest share at which compressed weights still win."""
    wins = [part for part, row in zip(parts, rows, strict=True) if row.ratio >= 1]
    what = "One layer of 1,024 channels: "
    return what + (f"compressed weights win up to 1/{min(wins)}" if wins else "dense weights win")


def _save(figure: go.Figure, path: Path) -> None:
    chromium = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        page_file = Path(folder) / "figure.html"
        figure.write_html(page_file, include_plotlyjs=True)
        browser = playwright.chromium.launch(
            executable_path=chromium if Path(chromium).exists() else None
        )
        page = browser.new_page(viewport={"width": 820, "height": 470})
        page.goto(page_file.as_uri(), wait_until="commit", timeout=120_000)
        page.wait_for_selector(".scatterlayer .trace", timeout=120_000)
        page.locator(".plot-container").screenshot(path=str(path))
        browser.close()
