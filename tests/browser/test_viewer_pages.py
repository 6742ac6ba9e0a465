"""Attention, curves, weights and the badge in a real browser, and a page as a server's first."""

from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, expect

from circuit_sparsity.release import read_viz
from tests.browser.conftest import TIMEOUT, Explorer, opened_by_link, running_app
from tests.ui.conftest import MODEL, QUERY, SWEEP, TASK, K

pytestmark = pytest.mark.browser

CIRCUIT = urlencode(QUERY)
HOSTILE = "<script>window.hacked=1</script><b>x"
# Streamlit asks where it lies, the deepest folder of the address first: a page's name is no
# folder, so two of its questions are answered 404, and then it asks one level up.
ASKED = ("/_stcore/health", "/_stcore/host-config")


@pytest.fixture
def stored(app_cache: Path):
    return read_viz(app_cache / "viz" / MODEL / TASK / SWEEP / K / "viz_data.pt")


# Of a page that is a tab of another, the line of the menu.
TABS_OF = {"Attention": ["Node"], "Tokens": ["Node"], "Weights": ["Node"], "Curves": ["Compare"]}


def go_to(explorer: Explorer, title: str) -> None:
    """From the first page to another, as people do."""
    explorer.open(CIRCUIT)
    for name in (*TABS_OF.get(title, ()), title):
        explorer.page.get_by_role("link", name=name, exact=True).first.click()
    explorer.page.wait_for_selector(f"h1:has-text('{title}')")
    explorer.wait_until_idle()


def data(explorer: Explorer, key: str):
    """What the chart of that key draws."""
    plot = f".st-key-{key} .js-plotly-plot"
    explorer.page.wait_for_selector(f"{plot} .main-svg")
    return explorer.page.evaluate(f"document.querySelector('{plot}').data[0]")


def test_one_click_reproduces_what_the_file_stores(explorer, stored):
    explorer.open(CIRCUIT)
    explorer.page.get_by_role("button", name="Reproduce").click()
    said = explorer.page.get_by_text("Reproduced.").first
    expect(said).to_be_visible(timeout=3 * TIMEOUT)  # 92 runs, 1.3 s on an idle core
    nodes = f"without each of {stored.circuit.size} nodes"
    expect(explorer.page.get_by_text(nodes)).to_be_visible()


def test_attention_shows_the_sink_first_and_hostile_tokens_as_text(explorer):
    go_to(explorer, "Attention")
    explorer.page.locator(".st-key-prompt textarea").fill(HOSTILE)
    explorer.page.keyboard.press("Control+Enter")
    plot = "document.querySelector('.st-key-attention_Whole_model .js-plotly-plot')"
    explorer.page.wait_for_function(f"{plot}?.data[0].y.some(name => name.includes('&lt;'))")
    explorer.wait_until_idle()
    drawn = data(explorer, "attention_Whole_model")
    assert drawn["x"][0] == "sink"
    assert len(drawn["x"]) == len(drawn["y"]) + 1
    assert explorer.page.evaluate("window.hacked") is None
    ticks = explorer.page.locator(".st-key-attention_Whole_model .ytick text").all_text_contents()
    assert any("<" in tick for tick in ticks)
    explorer.page.get_by_role("radio", name="Score of a channel").click()
    explorer.page.wait_for_function("new URLSearchParams(location.search).get('show') !== null")
    explorer.wait_until_idle()
    assert explorer.query("show") == ["Score of a channel"]


def test_curves_stand_over_the_circuits_size(explorer, stored):
    go_to(explorer, "Curves")
    drawn = data(explorer, "curve_sizes")
    assert drawn["x"] == [stored.circuit.size]
    assert drawn["y"] == pytest.approx([stored.circuit_loss])


def test_a_token_is_found_by_typing_and_the_address_holds_it(explorer):
    go_to(explorer, "Weights")
    field = explorer.page.locator(".st-key-token input")
    field.click()
    explorer.page.keyboard.type("·return")
    explorer.page.get_by_role("option", name="·return").first.click()
    explorer.page.wait_for_function("new URLSearchParams(location.search).get('token') !== '0'")
    (number,) = explorer.query("token")
    assert "·return" in field.input_value()
    assert field.input_value().startswith(f"{number} ")


def test_a_page_that_a_fresh_server_is_asked_for_first_stands_inside_the_app(
    browser: Browser, app_cache: Path, tmp_path: Path
):
    with running_app(tmp_path, CIRCUIT_SPARSITY_CACHE=str(app_cache)) as url:
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        page, failed = context.new_page(), []
        page.set_default_timeout(TIMEOUT)
        page.on("response", lambda r: failed.append(r.url) if r.status >= 400 else None)
        page.goto(f"{url}/weights?{CIRCUIT}")
        page.wait_for_selector("h3:has-text('Positions')")
        expect(page.get_by_role("link", name="Your prompt")).to_be_visible()  # app.py's title
        expect(page.locator(".st-key-model")).to_be_visible()
        context.close()
        node = f"{CIRCUIT}&node=0.attn.resid_delta:0"
        for name, query, has in (("compare", CIRCUIT, "h3"), ("node", node, "h4")):
            with opened_by_link(browser, url, f"{url}/{name}?{query}") as fresh:
                fresh.page.wait_for_selector(has)
                fresh.wait_until_idle()
                assert fresh.page.locator("h1").inner_text() == name.capitalize()
                assert fresh.page.locator(".st-key-k input").input_value() == K
    assert set(failed) <= {f"{url}/weights{path}" for path in ASKED}
