"""The tour in a real browser: Next through all steps, and a link in a fresh one."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import TIMEOUT, Explorer, running_app

pytestmark = pytest.mark.browser


def test_next_leads_to_the_attack_and_a_link_restores_a_step(browser: Browser, tmp_path: Path):
    with running_app(tmp_path, CIRCUIT_SPARSITY_CACHE=str(tmp_path)) as url:
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        explorer = Explorer(context.new_page(), url)
        page = explorer.page
        page.goto(url)  # an address that asks for nothing opens the first page
        page.get_by_role("button", name="Take the tour").click()
        for step in range(1, 8):
            expect(page.locator("h3").first).to_contain_text(f"{step}. ", timeout=TIMEOUT)
            explorer.wait_until_idle()
            assert explorer.query("step") == [str(step)]
            if step < 7:
                page.get_by_role("button", name="Next").click()
        page.get_by_role("button", name="Run the attack").click()
        page.wait_for_selector(".st-key-attack_curve .main-svg")
        expect(page.get_by_role("button", name="Explore this circuit")).to_be_visible()
        link = page.url
        context.close()
        assert explorer.troubles == []

        fresh = browser.new_context()
        page = fresh.new_page()
        page.goto(link.replace("step=7", "step=3"))
        expect(page.locator("h3").first).to_contain_text("3. ", timeout=TIMEOUT)
        page.wait_for_selector(".st-key-tour_graph .point", timeout=TIMEOUT)
        fresh.close()
