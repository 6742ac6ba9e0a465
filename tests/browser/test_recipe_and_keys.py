"""The graph by keyboard, a recipe and its link, paths, and the film over k, in a real Chromium."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.browser.conftest import PLOT, ROOT, Explorer, running_app

pytestmark = pytest.mark.browser

STARTER = {"model": "starter", "task": "single_double_quote", "sweep": "prune", "k": "k44_seed0"}
KEY = "0.attn.k:210"
SLOW = 300_000  # ms; the first page compiles kernels and opens a model of its own
FILM = ".st-key-film_graph .js-plotly-plot"


@pytest.fixture(scope="module")
def starter_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("starter")
    with running_app(folder, CIRCUIT_SPARSITY_CACHE=str(folder)) as url:
        yield url


@pytest.fixture
def starter(browser, starter_url) -> Iterator[Explorer]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    found = Explorer(context.new_page(), starter_url)
    found.page.set_default_timeout(SLOW)
    yield found
    context.close()
    assert found.troubles == []


def said(explorer):
    return explorer.page.locator(".said").inner_text()


def test_keys_walk_the_graph_ablate_undo_and_search(starter):
    starter.open(urlencode(STARTER))
    starter.cut(KEY)
    starter.without(KEY)
    starter.page.keyboard.press("ArrowDown")
    strongest = starter.page.evaluate(
        f"""name => {{ const {{ customdata, meta }} = document.querySelector('{PLOT}').data[0];
        return customdata[meta.down[customdata.indexOf(name)]]; }}""",
        KEY,
    )
    assert strongest in said(starter)
    sent = starter.page.evaluate("wire.sent")
    starter.page.keyboard.press("p")  # pinned: lit although the mouse is elsewhere
    starter.page.mouse.move(5, 5)
    starter.page.wait_for_selector(f"{PLOT}[data-pins='1'][data-lit]")
    starter.page.keyboard.press("Shift+P")
    starter.page.wait_for_selector(f"{PLOT}[data-pins='0']:not([data-lit])")
    assert starter.page.evaluate("wire.sent") == sent
    starter.page.keyboard.press("a")
    starter.without("2 nodes")
    assert starter.query("nodes") == [KEY, strongest]
    starter.page.keyboard.press("u")
    starter.without(KEY)
    assert starter.query("nodes") == [KEY]
    assert starter.marked() == [KEY]
    starter.page.keyboard.press("Shift+U")
    starter.without("2 nodes")
    starter.page.keyboard.press("/")
    starter.page.keyboard.type("final_resid:131")
    starter.page.keyboard.press("Enter")
    starter.without("3 nodes")


def test_a_recipe_made_by_hand_is_restored_by_its_link_and_by_its_python(
    starter, starter_url, browser, tmp_path: Path
):
    starter.open(f"{urlencode(STARTER)}&{urlencode({'nodes': [KEY, '0.attn.q:210']}, doseq=True)}")
    starter.without("2 nodes")
    starter.page.locator(f".st-key-{_css('how ' + KEY)} input").focus()
    starter.page.wait_for_timeout(500)  # the page has scrolled, which closes an open list
    starter.page.keyboard.press("ArrowDown")
    starter.page.get_by_role("option", name="scale by").click()
    starter.page.wait_for_selector("h5:has-text('With 2 nodes changed')")
    starter.wait_until_idle()
    assert starter.query("how") == [f"{KEY}*2"]
    delta = starter.delta()
    starter.page.locator("summary", has_text="as Python").click()
    code = starter.page.locator("[data-testid=stCode] code").inner_text()
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False,
        env={"PYTHONPATH": str(ROOT), "CIRCUIT_SPARSITY_CACHE": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(delta, abs=6e-5)
    fresh = browser.new_context()
    other = Explorer(fresh.new_page(), starter_url)
    other.page.set_default_timeout(SLOW)
    other.open(starter.page.url.partition("?")[2])
    other.page.wait_for_selector("h5:has-text('With 2 nodes changed')")
    other.wait_until_idle()
    assert other.delta() == delta
    assert other.marked() == [KEY, "0.attn.q:210"]
    fresh.close()
    assert other.troubles == []


def test_paths_are_drawn_in_the_graph_without_drawing_it_anew(starter):
    starter.open(urlencode(STARTER))
    line = f"document.querySelector('{PLOT}').data[2].x.length"
    assert starter.page.evaluate(line) == 1
    starter.page.evaluate(f"document.querySelector('{PLOT}').dataset.same = 'yes'")
    starter.tab("Paths")
    starter.page.get_by_text("Paths from a token to the answer").click()
    starter.page.wait_for_function(f"{line} > 2")
    starter.wait_until_idle()
    assert starter.query("paths") == ["true"]
    assert starter.page.evaluate(f"document.querySelector('{PLOT}').dataset.same") == "yes"
    assert starter.page.locator(".circuit-path [role=listitem]").count() > 3


def test_the_film_shows_nodes_enter_and_leave_and_the_curve_leads_to_a_size(starter):
    page = starter.page
    page.goto(f"{starter.url}/?{urlencode(STARTER | {'view': 'film over k'})}")
    page.wait_for_selector(f"{FILM}[data-frame='0']")
    starter.wait_until_idle()
    seen = f"document.querySelector('{FILM}').data[0].marker.opacity.filter(o => o === 1).length"
    xs = f"JSON.stringify(document.querySelector('{FILM}').data[0].x)"
    assert page.evaluate(seen) == 24
    places = page.evaluate(xs)
    page.get_by_role("button", name="Play").click()
    page.wait_for_selector(f"{FILM}[data-frame='3']")
    assert page.evaluate(seen) == 192
    assert page.evaluate(xs) == places
    page.wait_for_function("location.search.includes('k192_seed0') && !!document.title")
    starter.wait_until_idle()
    x, y = page.evaluate(
        """() => { const plot = document.querySelector('.st-key-film_curve .js-plotly-plot');
        const box = plot.getBoundingClientRect(), { _size: size, xaxis, yaxis } = plot._fullLayout;
        const { x, y } = plot.data[0];
        return [box.left + size.l + xaxis.c2p(x[1]), box.top + size.t + yaxis.c2p(y[1])]; }"""
    )
    page.mouse.click(x, y)
    page.wait_for_selector(f"{FILM}[data-frame='1']")
    assert page.evaluate(seen) == 44
    assert starter.query("film") == ["k44_seed0"]


def test_the_films_slider_is_moved_by_mouse_and_keys_and_tells_the_address(starter):
    page = starter.page
    page.goto(f"{starter.url}/?{urlencode(STARTER | {'view': 'film over k', 'film': 'k44_seed0'})}")
    page.wait_for_selector(f"{FILM}[data-frame='1']")
    starter.wait_until_idle()
    slider = page.get_by_role("slider", name="k", exact=True)
    box = slider.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 3, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 3, box["y"] + box["height"] / 2, steps=8)
    page.mouse.up()
    page.wait_for_selector(f"{FILM}[data-frame='3']")
    page.wait_for_function("location.search.includes('film=k192_seed0')")
    starter.wait_until_idle()
    slider.press("ArrowLeft")
    page.wait_for_selector(f"{FILM}[data-frame='2']")
    page.wait_for_function("location.search.includes('film=k96_seed0')")
    mark = "document.querySelector('.st-key-film_curve .js-plotly-plot').data[1].x[0]"
    assert page.evaluate(mark) == 96


def test_f_fills_the_screen_with_graph_and_panel_and_f_or_escape_leaves(starter):
    starter.open(f"{urlencode(STARTER)}&nodes={KEY}")
    starter.without(KEY)
    page = starter.page
    height = f"document.querySelector('{PLOT}')._fullLayout.height"
    before = page.evaluate(height)
    assert "full screen" in page.locator(".hint button").inner_text()
    for leave in ("f", "Escape"):
        page.keyboard.press("f")
        page.wait_for_function(f"!!document.fullscreenElement && {height} > {before} + 50")
        page.wait_for_function(  # until it grows no more: a click before that meets another place
            f"async () => {{ const now = {height}; await new Promise(r => setTimeout(r, 400)); "
            f"return now === {height}; }}"
        )
        assert not page.locator("[data-testid=stSidebar]").is_visible()
        assert page.get_by_role("heading", name="Without").is_visible()
        starter.click("0.attn.q:210", shift=True)
        starter.without("2 nodes")
        page.keyboard.press(leave)
        page.wait_for_function(f"!document.fullscreenElement && {height} === {before}")
        page.wait_for_timeout(400)
        assert page.locator("[data-testid=stSidebar]").is_visible()
        starter.click("0.attn.q:210", shift=True)
        starter.without(KEY)


def _css(key: str) -> str:
    """How Streamlit writes a key as a class."""
    return "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in key)


def test_a_click_on_a_node_is_that_node_however_many_edges_cross_there(starter):
    crowded = {"model": "main", "task": "single_double_quote", "sweep": "full"}
    starter.open(urlencode(crowded | {"k": "k43_seed0_full"}))
    for name in [name for name in starter.names() if ".attn.q:" in name or ".attn.k:" in name]:
        starter.click(name)
        starter.card(name)
        assert starter.query("selected") == [name]
