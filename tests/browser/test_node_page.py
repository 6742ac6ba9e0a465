"""The node page in a real browser: from a pick to the node, to its neighbour, and a link of it."""

from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Explorer, opened_by_link
from tests.ui.conftest import QUERY

pytestmark = pytest.mark.browser

CIRCUIT = urlencode(QUERY)
HOSTILE = "<img src=x onerror=window.hacked=1> **sign** of the text"


def node_of(explorer: Explorer) -> str:
    """The node that the page is about."""
    return explorer.page.locator("h4 code").inner_text()


def test_a_picked_node_is_followed_to_its_neighbour_labelled_and_linked(
    explorer: Explorer, browser: Browser, told
):
    neuron = next(name for name in told if ".mlp.post_act:" in name)
    explorer.open(f"{CIRCUIT}&nodes={neuron}")
    explorer.without(neuron)
    page = explorer.page
    page.get_by_role("link", name="Node", exact=True).click()
    page.wait_for_selector(f"h4:has-text('{neuron}')")
    explorer.wait_until_idle()
    assert explorer.query("node") == [neuron]
    delta = f"{abs(told[neuron]['delta']):.4f}"
    expect(page.get_by_text("Ablated alone:")).to_contain_text(delta)

    page.get_by_role("radio", name="Weights", exact=True).click()
    into = page.locator("[data-testid=stButton] button:has-text('mlp.act_in')").first
    neighbour = into.locator("code").inner_text()
    into.click()
    page.wait_for_selector(f"h4:has-text('{neighbour}')")
    explorer.wait_until_idle()
    assert explorer.query("node") == [neighbour]

    page.get_by_role("textbox", name="Your label").fill(HOSTILE)
    page.keyboard.press("Enter")
    page.wait_for_selector("h4:has-text('of the text')")
    explorer.wait_until_idle()
    assert page.evaluate("window.hacked") is None

    with opened_by_link(browser, explorer.url, page.url) as fresh:
        fresh.page.wait_for_selector(f"h4:has-text('{neighbour}')")
        fresh.wait_until_idle()
        assert node_of(fresh) == neighbour
        expect(fresh.page.locator("h4")).to_contain_text(HOSTILE)
        expect(fresh.page.get_by_role("heading", name="Into it")).to_be_visible()
        assert fresh.page.evaluate("window.hacked") is None
