"""The library in a real browser, on a real blob service: fetch, watch, stop, resume, look."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
import torch
from azurite.emulator import Azurite, Bucket
from azurite.fault_proxy import FaultProxy
from azurite.fixtures import azurite
from playwright.sync_api import Browser, expect

from circuit_sparsity.core.tokenizer import load_tokenizer
from circuit_sparsity.plots.tokens import show_token
from circuit_sparsity.plots.words import signed
from circuit_sparsity.release import read_viz
from circuit_sparsity.store import Busy, Store
from tests.browser.conftest import PLOT, TIMEOUT, Explorer, running_app

__all__ = ["azurite"]

pytestmark = [pytest.mark.browser, pytest.mark.azurite]

MODEL, TASK, SWEEP, K = "csp_yolo2", "bracket_counting_beeg", "prune_v4", "k_optim"
VIZ = f"viz/{MODEL}/{TASK}/{SWEEP}/{K}/viz_data.pt"
WEIGHTS = f"models/{MODEL}/final_model.pt"
SLOW = 0.04  # seconds after each 64 KiB: the weights of 18 MB take 11 s
HOSTILE = (
    "<script>window.hacked = 1</script><img src=x onerror='hacked=1'>\"'&lt;\x00\x1b[31m\u202e"
)


@pytest.fixture(scope="module")
def bucket(azurite: Azurite, release_fixture: Path, tmp_path_factory) -> Bucket:
    """The release's layout, and one more circuit whose documents hold what could do harm."""
    found = azurite.container()
    found.upload_tree(release_fixture)
    path = tmp_path_factory.mktemp("hostile") / "viz_data.pt"
    raw = torch.load(release_fixture / VIZ, weights_only=True)
    ids = torch.tensor(load_tokenizer(release_fixture / "tinypython").encode(HOSTILE))
    for channels in raw["samples"].values():
        for quantiles in channels.values():
            for sides in quantiles.values():
                for tokens, _, _ in (*sides[0], *sides[1]):
                    tokens[: len(ids)] = ids[: len(tokens)]
    torch.save(raw, path)
    found.upload(VIZ.replace(K, "hostile"), path.read_bytes())
    return found


@pytest.fixture(scope="module")
def network(azurite: Azurite) -> Iterator[FaultProxy]:
    with FaultProxy(azurite.account_url) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def url_and_store(bucket, network, tmp_path_factory) -> Iterator[tuple[str, Store]]:
    folder = tmp_path_factory.mktemp("library")
    store = Store(folder / "nothing", folder / "mine", bucket.behind(network.url))
    with running_app(
        folder, CIRCUIT_SPARSITY_CACHE=str(store.folder), CIRCUIT_SPARSITY_URL=store.url
    ) as url:
        yield url, store


@pytest.fixture
def store(url_and_store, network) -> Store:
    """Emptied; the container listed; the network fast and its log empty."""
    _, store = url_and_store
    network.pause = 0.0
    until(lambda: is_emptied(store))
    store.refresh()
    network.log.clear()
    return store


def is_emptied(store: Store) -> bool:
    """Whether it could be: what a test before left downloading ends first."""
    try:
        store.clear()
    except Busy:
        return False
    return True


@pytest.fixture
def explorer(browser: Browser, url_and_store, store: Store) -> Iterator[Explorer]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    found = Explorer(context.new_page(), url_and_store[0])
    expect.set_options(timeout=TIMEOUT)
    yield found
    context.close()
    assert found.troubles == []


def open_library(explorer, model=None):
    page = explorer.page
    page.goto(explorer.url)
    page.get_by_role("link", name="Library", exact=True).click()
    page.get_by_role("button", name="Refresh the list").wait_for()
    if model:
        page.get_by_test_id("stMain").get_by_role("combobox", name="Model").click()
        page.keyboard.type(model)
        page.get_by_role("option", name=model, exact=True).click()
        page.get_by_text(f"The buttons act on: {model}.").wait_for()
    return page


def bar(page):
    """How full the bar is, in percent."""
    return float(page.get_by_role("progressbar").first.get_attribute("aria-valuenow"))


def until(true):
    end = time.monotonic() + TIMEOUT / 1000
    while not true():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.05)


def test_a_model_is_fetched_watched_stopped_and_resumed(explorer, store, network, release_fixture):
    network.pause = SLOW
    page = open_library(explorer, MODEL)
    page.get_by_role("button", name="Download 9 files").click()
    page.get_by_text(re.compile(r"[kM]B/s")).wait_for()  # slower where others compute
    page.get_by_text("s left").wait_for()
    first = bar(page)
    until(lambda: bar(page) > first + 5)
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text(f"{MODEL} was stopped.").wait_for()
    part = store.usage().unfinished
    assert part > 1 << 20
    assert not (store.folder / WEIGHTS).exists()
    network.pause = 0.0
    page.get_by_role("button", name="Resume").click()
    page.get_by_text(f"{MODEL}: ").get_by_text("downloaded and verified").wait_for(
        timeout=4 * TIMEOUT
    )
    again = [headers["range"] for headers in network.requests() if "range" in headers]
    assert f"bytes={part}-" in again
    for name in (WEIGHTS, VIZ):
        assert (store.folder / name).read_bytes() == (release_fixture / name).read_bytes()


def test_a_download_goes_on_when_its_browser_is_closed(
    explorer, browser, store, network, url_and_store
):
    network.pause = SLOW
    other = browser.new_context()
    page = open_library(Explorer(other.new_page(), url_and_store[0]), "csp_yolo1")
    page.get_by_role("button", name=re.compile(r"Download \d+ files")).click()
    page.get_by_text(re.compile(r"[kM]B/s")).wait_for()  # slower where others compute
    other.close()
    page = open_library(explorer)
    page.get_by_text("Downloading").wait_for()
    first = bar(page)
    until(lambda: bar(page) > first)
    network.pause = 0.0
    page.get_by_text("csp_yolo1: ").get_by_text("downloaded and verified").wait_for(
        timeout=4 * TIMEOUT
    )
    assert store.path_of_model("csp_yolo1") is not None


def choose_circuit(explorer, k=K):
    page = explorer.page
    query = {"model": MODEL, "task": TASK, "sweep": SWEEP, "k": k}
    page.goto(f"{explorer.url}/?{urlencode(query)}")
    return page


def test_a_chosen_circuit_is_fetched_and_its_stored_graph_is_drawn(explorer, store):
    page = choose_circuit(explorer)
    page.get_by_role("button", name="Download the model").wait_for()
    page.wait_for_selector(f"{PLOT} .point")
    explorer.wait_until_idle()
    stored = read_viz(store.folder / VIZ)
    assert explorer.names() == [str(node) for node in sorted(stored.circuit.node_list)]
    page.wait_for_function(f"!!document.querySelector('{PLOT}')?.dataset.linked")
    node = max(stored.circuit.node_list, key=stored.node_delta)
    explorer.cut(str(node))
    explorer.without(str(node))
    assert explorer.metric("Task loss, nats, stored")[0] == pytest.approx(
        stored.node_losses[node], abs=1e-4
    )
    hovers = page.evaluate(f"document.querySelector('{PLOT}').data[1].hovertext")
    costs = [f"stored: {signed(edge.delta, 4)} nats when ablated" for edge in stored.edges]
    assert [text.split("<br>")[-1] for text in hovers] == costs
    page.get_by_role("combobox", name="Show").click()
    page.get_by_role("option", name="MLP 1", exact=True).click()
    inside = [str(n) for n in sorted(stored.circuit.node_list) if n.location.block_name == "1.mlp"]
    until(lambda: explorer.names() == inside)


def open_tokens(explorer, k=K):
    page = choose_circuit(explorer, k)
    page.wait_for_selector(f"{PLOT} .point")
    query = {"model": MODEL, "task": TASK, "sweep": SWEEP, "k": k}
    page.goto(f"{explorer.url}/tokens?{urlencode(query)}")
    page.get_by_text("Lowest 3").wait_for()
    page.wait_for_selector("[data-testid=stHtml] > div span[title]")
    explorer.wait_until_idle()
    # Below a page's own address Streamlit first asks for its service there, and then above.
    explorer.troubles[:] = [said for said in explorer.troubles if "404" not in said]
    return page


def strips(page):
    """The texts of the boxes of each strip."""
    return page.evaluate(
        """() => [...document.querySelectorAll('[data-testid=stHtml] > div')]
          .map(strip => [...strip.querySelectorAll('span[title]')].map(box => box.textContent))
          .filter(boxes => boxes.length)"""
    )


def expected_strips(stored, node, tokenizer):
    extremes = stored.documents[node][0.001]
    return [
        [show_token(tokenizer.token_bytes(token)) for token in doc.tokens.tolist()]
        for doc in (*extremes.top, *extremes.bottom)
    ]


def test_the_documents_are_those_of_the_file(explorer, store, release_fixture):
    page = open_tokens(explorer)
    stored = read_viz(store.folder / VIZ)
    node = max(stored.circuit.node_list, key=stored.node_delta)
    tokenizer = load_tokenizer(release_fixture / "tinypython")
    assert strips(page) == expected_strips(stored, node, tokenizer)


def test_hostile_tokens_are_shown_as_text(explorer, store, release_fixture):
    page = open_tokens(explorer, "hostile")
    shown = ["".join(boxes) for boxes in strips(page)]
    assert len(shown) == 6
    for text in shown:
        assert text.startswith("<script>window.hacked·=·1</script><img·src=x·onerror='hacked=1'>")
        assert "\"'&lt;\\x00\\x1b[31m" in text
    assert page.evaluate("window.hacked") is None
    assert page.locator("[data-testid=stHtml] script, [data-testid=stHtml] img").count() == 0


def test_the_model_comes_on_a_click_and_the_circuit_then_runs_live(explorer, store):
    page = choose_circuit(explorer)
    page.get_by_role("button", name="Download the model").click()
    explorer.whole()
    assert store.path_of_model(MODEL) is not None
    page.wait_for_selector(f"{PLOT} .point")
