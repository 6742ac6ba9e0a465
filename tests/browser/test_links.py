"""Links of pages, opened in a browser that knows nothing, show what they were copied from."""

from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import TIMEOUT, Explorer, opened_by_link
from tests.ui.conftest import QUERY

pytestmark = pytest.mark.browser

STARTER = {"model": "starter", "task": "single_double_quote", "sweep": "prune", "k": "k44_seed0"}
OWN_TEXT = "print('hello"
PICKERS = ["model", "task", "sweep", "k"]


def at(explorer: Explorer, page: str, query: dict[str, str]) -> None:
    explorer.page.goto(f"{explorer.url}/{page}?{urlencode(query)}")
    explorer.page.wait_for_selector("h1")
    explorer.wait_until_idle()


def chosen(explorer: Explorer, keys: list[str]) -> list[str]:
    """What the pickers of these keys say."""
    fields = [explorer.page.locator(f".st-key-{key} input").first for key in keys]
    return [field.input_value() for field in fields]


def held(explorer: Explorer, key: str, value: str) -> None:
    """Wait until the address has it."""
    script = "([key, value]) => new URLSearchParams(location.search).getAll(key).includes(value)"
    explorer.page.wait_for_function(script, arg=[key, value])
    explorer.wait_until_idle()


@pytest.fixture
def page_of(browser: Browser, app_url: str):
    """A browser whose first page need not be the app's first."""
    with opened_by_link(browser, app_url, "about:blank") as found:
        yield found


def test_a_link_of_tokens_has_the_readers_text(page_of: Explorer, browser: Browser):
    at(page_of, "tokens", STARTER)
    page = page_of.page
    page.get_by_role("radio", name="1%", exact=True).click()
    held(page_of, "token_quantile", "1%")
    page.get_by_role("radio", name="Your text").click()
    page.locator(".st-key-token_text textarea").fill(OWN_TEXT)
    page.keyboard.press("Control+Enter")
    held(page_of, "token_text", OWN_TEXT)
    with opened_by_link(browser, page_of.url, page.url) as fresh:
        expect(fresh.page.locator(".st-key-token_text textarea")).to_have_value(
            OWN_TEXT, timeout=TIMEOUT
        )
        fresh.wait_until_idle()
        assert fresh.page.get_by_text("Live, whole model").count() == 1


def test_a_link_of_attention_has_head_and_channel(page_of: Explorer, browser: Browser):
    at(page_of, "attention", STARTER)
    page_of.page.get_by_role("radio", name="Value of a channel").click()
    held(page_of, "show", "Value of a channel")
    (channel,) = page_of.query("channel") or ["0"]
    with opened_by_link(browser, page_of.url, page_of.page.url) as fresh:
        fresh.page.wait_for_selector(".st-key-attention_Circuit_alone .main-svg")
        fresh.wait_until_idle()
        assert fresh.query("show") == ["Value of a channel"]
        assert chosen(fresh, ["channel"]) == [channel]


def test_a_link_of_weights_has_channel_and_token(page_of: Explorer, browser: Browser):
    at(page_of, "weights", STARTER)
    field = page_of.page.locator(".st-key-residual input")
    field.fill("131")
    page_of.page.keyboard.press("Enter")
    held(page_of, "residual", "131")
    with opened_by_link(browser, page_of.url, page_of.page.url) as fresh:
        expect(fresh.page.locator(".st-key-residual input")).to_have_value("131", timeout=TIMEOUT)


def test_a_link_of_prune_has_run_and_size(page_of: Explorer, browser: Browser):
    at(page_of, "prune", STARTER | {"sizes_k": "96"})
    shown = page_of.page.locator(".st-key-sizes_slider").get_by_text("96", exact=True)
    expect(shown).to_be_visible(timeout=TIMEOUT)
    page_of.page.get_by_role("slider", name="k, the number of nodes").press("ArrowRight")
    page_of.page.wait_for_function("!location.search.includes('sizes_k=96')")
    page_of.wait_until_idle()
    (k,) = page_of.query("sizes_k")
    assert int(k) > 96
    with opened_by_link(browser, page_of.url, page_of.page.url) as fresh:
        expect(fresh.page.locator(".st-key-sizes_k input")).to_have_value(k, timeout=TIMEOUT)
        assert fresh.query("sizes_run") == page_of.query("sizes_run")


def test_the_texts_under_the_graph_are_in_the_link(page_of: Explorer, browser: Browser):
    node = "0.attn.k:210"
    page_of.open(f"{urlencode(STARTER)}&nodes={node}")
    page_of.without(node)
    page_of.tab("Texts")
    page_of.page.locator(".st-key-texts_pair input").fill("3")
    page_of.page.keyboard.press("Enter")
    held(page_of, "texts_pair", "3")
    with opened_by_link(browser, page_of.url, page_of.page.url) as fresh:
        fresh.tab("Texts")
        expect(fresh.page.locator(".st-key-texts_pair input")).to_have_value("3", timeout=TIMEOUT)


def test_quick_clicks_between_pages_leave_the_circuit_chosen(explorer: Explorer):
    explorer.open(urlencode(QUERY))
    for title in ("Node", "Your prompt", "Compare", "Tasks"):
        explorer.page.get_by_role("link", name=title, exact=True).first.click()
        explorer.page.wait_for_timeout(250)
    explorer.page.wait_for_selector("h1:has-text('Tasks')")
    explorer.wait_until_idle()
    assert chosen(explorer, PICKERS)[0] == QUERY["model"]  # the others have names for people
    assert [explorer.query(part) for part in PICKERS] == [[value] for value in QUERY.values()]
