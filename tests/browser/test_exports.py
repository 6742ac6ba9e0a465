"""What people take away, opened in a real Chromium; and the link that restores a view."""

import json
import subprocess
import sys
from urllib.parse import urlencode

import pytest

from circuit_sparsity.experiment.opening import open_circuit
from circuit_sparsity.export.investigation import Investigation, rises_of
from circuit_sparsity.plots.standalone import standalone_html
from tests.browser.conftest import TIMEOUT, Explorer
from tests.ui.conftest import QUERY

pytestmark = pytest.mark.browser

STARTER = {
    "model": "starter",
    "task": "single_double_quote",
    "sweep": "prune",
    "k": "k44_seed0",
}
HOSTILE = "</script><img src=http://127.0.0.1:9/x onerror=alert(1)><script>alert(2)</script>"


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    """An investigation by somebody with evil labels."""
    it = open_circuit("starter", "single_double_quote", "full", "k24_seed0_full")
    node = str(it.circuit.node_list[0])
    found = Investigation(
        it,
        rises=rises_of(it),
        rises_on=HOSTILE,
        effect=it.ablate([node]),
        labels={node: HOSTILE},
        recipe={"steps": [{"part": node, "how": HOSTILE}]},
        link=f"javascript:{HOSTILE}",
    )
    path = tmp_path_factory.mktemp("page") / "investigation.html"
    path.write_text(standalone_html(found), encoding="utf-8")
    return path, it, node


def test_the_page_opens_from_a_file_without_a_network(browser, page_file):
    path, it, node = page_file
    context = browser.new_context(offline=True)
    page, asked, troubles = context.new_page(), [], []
    page.set_default_timeout(TIMEOUT)
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("dialog", lambda dialog: troubles.append(dialog.message))
    page.goto(path.as_uri())
    page.wait_for_selector("#graph .point")
    names = page.evaluate("document.getElementById('graph').data[0].customdata")
    assert set(names) - {"anchor"} == set(map(str, it.circuit.node_list))
    rise = it.ablate([node]).delta
    assert f"{it.of_circuit.loss + rise:.4f}" in page.inner_text("body")
    script = "document.getElementById('investigation').textContent"
    told = json.loads(page.evaluate(script))
    assert told["labels"] == {node: HOSTILE}

    row = page.locator(f"tr[data-part='{names[3]}']")
    row.click()
    assert "chosen" in row.get_attribute("class")
    sizes = page.evaluate("document.getElementById('graph').data[0].marker.size")
    assert sizes.index(max(sizes)) == 3
    with page.expect_download() as saved:
        page.click("[data-format=svg]")
    assert saved.value.path().read_text().startswith("<svg")
    context.close()
    assert [url for url in asked if not url.startswith(("file:", "blob:", "data:"))] == []
    assert troubles == []


def test_everything_can_be_taken_from_the_circuit_page(explorer, tmp_path):
    page = explorer.open(urlencode(QUERY)).page
    page.get_by_role("tab", name="Export", exact=True).click()
    page.get_by_role("button", name="Export this circuit").click()
    page.wait_for_selector("text=The graph as a picture")
    explorer.wait_until_idle()
    saved = {}
    for label in ("One offline page", "One Python file", "JSON", "Nodes, CSV", "Edges, CSV",
                  "GraphML", "PNG", "SVG"):  # fmt: skip
        with page.expect_download(timeout=TIMEOUT) as download:
            page.get_by_role("button", name=label, exact=True).click()
        saved[label] = tmp_path / download.value.suggested_filename
        download.value.save_as(saved[label])
    assert saved["PNG"].read_bytes().startswith(b"\x89PNG")
    picture = saved["SVG"].read_text()
    assert picture.startswith("<svg")
    for words in (QUERY["task"], "solid: positive weight", "nats when ablated"):
        assert words in picture
    assert json.loads(saved["JSON"].read_text())["circuit"]["task"] == QUERY["task"]
    command = [sys.executable, "-I", str(saved["One Python file"])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_copied_link_restores_the_view_in_another_browser(explorer, browser):
    page = explorer.open(urlencode(QUERY)).page
    node = explorer.names()[0]
    explorer.cut(node)
    explorer.without(node)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy", exact=True).click()
    page.wait_for_selector("text=Copied.")
    link = page.evaluate("navigator.clipboard.readText()")
    context = browser.new_context()
    other = context.new_page()
    other.set_default_timeout(TIMEOUT)
    other.goto(link)
    other.wait_for_selector(f"h5:has-text('Without'):has-text('{node}')")
    context.close()


def test_the_address_of_the_compare_page_restores_both_circuits(explorer, browser):
    page = explorer.page
    explorer.open(urlencode(STARTER))
    page.get_by_role("link", name="Compare", exact=True).click()
    page.wait_for_selector(".st-key-compare_graph .point")
    explorer.wait_until_idle()
    page.get_by_role("button", name="Swap A and B").click()
    page.wait_for_function("new URLSearchParams(location.search).get('b_k') === 'k44_seed0'")
    explorer.wait_until_idle()
    names = ("model", "task", "sweep", "k", "b_model", "b_task", "b_sweep", "b_k")
    asked = {name: explorer.query(name) for name in names}
    assert asked["k"] != asked["b_k"] == ["k44_seed0"]
    context = browser.new_context()
    other = Explorer(context.new_page(), explorer.url)
    other.page.goto(page.url)
    other.page.wait_for_selector(".st-key-compare_graph .point")
    other.wait_until_idle()
    assert {name: other.query(name) for name in names} == asked
    shown = other.page.locator(".st-key-b_k input").input_value()
    context.close()
    assert "44 nodes" in shown
