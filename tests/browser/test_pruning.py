"""Pruning in a real browser: it goes on without one, and its result opens like any circuit."""

from urllib.parse import urlencode

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import TIMEOUT, Explorer
from tests.ui.conftest import QUERY

pytestmark = pytest.mark.browser


def go_to(explorer: Explorer, title: str) -> None:
    explorer.open(urlencode(QUERY))
    explorer.page.get_by_role("link", name=title, exact=True).click()
    explorer.page.wait_for_selector(f"h1:has-text('{title}')")
    explorer.wait_until_idle()


def test_a_pruning_outlives_its_page_and_its_circuit_opens(explorer, app_url):
    go_to(explorer, "Prune")
    page = explorer.page
    page.get_by_role("radio", name="Exact number of nodes").click()
    page.wait_for_selector(".st-key-prune_k input")
    explorer.wait_until_idle()
    page.locator(".st-key-prune_k input").fill("12")
    page.keyboard.press("Enter")
    explorer.wait_until_idle()
    expect(page.locator(".st-key-prune_k input")).to_have_value("12")
    page.locator(".st-key-prune_start button").click()
    page.get_by_text("quick, seed 0").first.wait_for()
    explorer.page.goto("about:blank")
    again = Explorer(explorer.page, app_url)
    go_to(again, "Prune")
    expect(page.get_by_text("12 nodes and")).to_be_visible(timeout=3 * TIMEOUT)
    page.get_by_role("button", name="Open the circuit").click()
    page.wait_for_selector("h1:has-text('Circuit')")
    page.wait_for_function("new URLSearchParams(location.search).get('sweep') === 'local'")
    page.wait_for_selector(".st-key-circuit_graph .js-plotly-plot .point")
    again.wait_until_idle()
    assert len(again.names()) == 12
    assert again.query("k") == ["k12_seed0_quick"]


def test_evidence_is_measured_by_a_click_and_says_what_it_means(explorer):
    go_to(explorer, "Evidence")
    explorer.page.get_by_role("button", name="Measure", exact=True).click()
    measures = explorer.page.get_by_text("All measures", exact=True)
    expect(measures).to_be_visible(timeout=3 * TIMEOUT)
    measures.click()
    name = explorer.page.locator(".evidence abbr").filter(has_text="Sufficiency")
    expect(name).to_be_visible(timeout=3 * TIMEOUT)
    assert "everything else held at its mean" in (name.get_attribute("title") or "")
    explorer.wait_until_idle()
