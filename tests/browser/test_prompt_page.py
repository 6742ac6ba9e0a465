"""The prompt page in a real browser: a pair of texts, a token's nodes, a link, and going on."""

from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import TIMEOUT, Explorer, opened_by_link
from tests.ui.conftest import QUERY

pytestmark = pytest.mark.browser

CIRCUIT = urlencode(QUERY)
FIRST, SECOND = "x = [[1, <b>2", "x = [1, <b>2"


def strip(explorer: Explorer) -> list[str | None]:
    """What the tokens of the last strip say when one points at them."""
    strips = explorer.page.locator("[data-testid=stHtml]:has(span[title])")
    spans = strips.last.locator("span[title]")
    return [spans.nth(i).get_attribute("title") for i in range(spans.count())]


def write(explorer: Explorer, key: str, text: str) -> None:
    explorer.page.locator(f".st-key-{key} textarea").fill(text)
    explorer.page.keyboard.press("Control+Enter")
    explorer.page.wait_for_function(
        "([key, text]) => new URLSearchParams(location.search).get(key) === text", arg=[key, text]
    )
    explorer.wait_until_idle()


@pytest.fixture
def explorer(browser: Browser, app_url: str) -> Iterator[Explorer]:
    """A fresh browser session on the page of prompts."""
    with opened_by_link(browser, app_url, f"{app_url}/prompt?{CIRCUIT}") as found:
        found.page.wait_for_selector("[data-testid=stMetric]")
        found.wait_until_idle()
        yield found


def test_a_pair_leads_to_nodes_by_a_token_and_its_link_restores_it(
    explorer: Explorer, browser: Browser
):
    page = explorer.page
    page.get_by_role("radio", name="Minimal pair").click()
    page.wait_for_selector(".st-key-other textarea")
    explorer.wait_until_idle()
    write(explorer, "prompt", FIRST)
    write(explorer, "other", SECOND)
    assert page.locator("[data-testid=stMetric]").count() == 4
    page.get_by_role("radio", name="Nodes", exact=True).click()
    token = page.locator(".st-key-at button").nth(1)
    token.click()
    page.wait_for_function("new URLSearchParams(location.search).get('at') === '2'")
    explorer.wait_until_idle()
    shown = strip(explorer)
    assert shown

    with opened_by_link(browser, explorer.url, page.url) as fresh:
        fresh.page.wait_for_selector(".st-key-at button")
        fresh.wait_until_idle()
        second = fresh.page.locator(".st-key-other textarea")
        expect(second).to_have_value(SECOND, timeout=TIMEOUT)
        fresh.wait_until_idle()
        assert strip(fresh) == shown
        chosen = fresh.page.locator(".st-key-at button").nth(1)
        expect(chosen).to_have_attribute("aria-checked", "true")

    page.get_by_role("radio", name="Continue it").click()
    page.get_by_role("button", name="Continue both texts").click()
    expect(page.get_by_text(", text 2").last).to_be_visible(timeout=TIMEOUT)
    page.wait_for_selector(".st-key-stop_continuing", state="detached")
    explorer.wait_until_idle()
    assert len(strip(explorer)) > 0
