"""Names, labels, texts and links that hold markup, in Chromium: nothing of it is carried out."""

import shutil
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser

from circuit_sparsity.experiment.labels import Labels, write_labels
from circuit_sparsity.experiment.opening import open_stored
from circuit_sparsity.store import Store
from tests.browser.conftest import Explorer, running_app
from tests.ui.conftest import MODEL, SWEEP, TASK, K, fill

pytestmark = [pytest.mark.browser, pytest.mark.soak]

TAG = "<img src=x onerror=window.hacked=1><script>window.hacked=2</script>"
TURNED = "\u202e\u2066txt.exe"
HOSTILE = f"{TAG}**b** [a](javascript:window.hacked=3) $x$ :red[r] `{TAG}` {TURNED}"
# What a folder may be named: no angle brackets, but entities of them.
NAME = "&lt;img src=x onerror=hacked()&gt;_$x$_[a](b)_`c`_~~d~~_#e"
PAGES = ("", "node", "prompt", "attention", "tokens", "weights", "compare", "curves", "evidence",
         "library", "prune", "tasks", "tour")  # fmt: skip
PAIRS = "prompt,right,wrong,counterpart\n" + "".join(
    f'"{i} {TAG}{TURNED}", in,:,"while {i} {TAG}"\n' for i in range(5)
)
_MARKUP = """() => {
  const main = document.querySelector('[data-testid=stApp]');
  const found = main.querySelectorAll(
    'img[src="x"], [onerror], a[href^="javascript:"], iframe[src^="javascript:"]');
  const scripts = [...main.querySelectorAll('script')].filter(s => /hacked/.test(s.textContent));
  return [window.hacked ?? null, found.length, scripts.length];
}"""
_TURNING = "() => /[\\u202a-\\u202e\\u2066-\\u2069]/.test(document.body.innerText)"


@pytest.fixture(scope="module")
def hostile_cache(release_fixture: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one circuit whose model, task, sweep, name and labels are hostile."""
    folder = fill(tmp_path_factory.mktemp("hostile") / "cache", release_fixture)
    shutil.move(folder / "models" / MODEL, folder / "models" / NAME)
    viz = folder / "viz" / NAME
    shutil.move(folder / "viz" / MODEL, viz)
    place = viz / NAME / NAME / NAME
    place.parent.mkdir(parents=True)
    shutil.move(viz / TASK / SWEEP / K, place)
    store = Store(folder / "nothing", folder, "http://127.0.0.1:9/nobody")
    circuit = open_stored(store, NAME, NAME, NAME, NAME).circuit
    write_labels(Labels(dict.fromkeys(circuit.node_list, HOSTILE)), store, circuit)
    return folder


@pytest.fixture(scope="module")
def hostile(browser: Browser, hostile_cache: Path):
    with running_app(hostile_cache, CIRCUIT_SPARSITY_CACHE=str(hostile_cache)) as url:
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        explorer = Explorer(context.new_page(), url)
        yield explorer
        context.close()


def is_clean(explorer: Explorer, where: str) -> None:
    explorer.wait_until_idle()
    assert explorer.page.evaluate(_MARKUP) == [None, 0, 0], where
    assert not explorer.page.evaluate(_TURNING), f"{where}: a character turns the writing"
    assert explorer.page.locator("[data-testid=stException]").count() == 0, where
    # Streamlit asks a page's address for two files before it asks for them where they are.
    troubles = [trouble for trouble in explorer.troubles if "404" not in trouble]
    assert troubles == [], where


def test_no_page_carries_out_what_names_labels_texts_and_links_hold(hostile: Explorer) -> None:
    circuit = dict.fromkeys(("model", "task", "sweep", "k"), NAME)
    strange = {
        "nodes": HOSTILE,
        "prompt": HOSTILE,
        "other": HOSTILE,
        "node": HOSTILE,
        "selected": HOSTILE,
    }
    for page in PAGES:
        hostile.page.goto(f"{hostile.url}/{page}?{urlencode(circuit | strange)}")
        hostile.page.wait_for_selector("[data-testid=stMain] h1")
        is_clean(hostile, f"{page or 'circuit'} of hostile names")
    for page in ("", "library"):
        hostile.page.goto(f"{hostile.url}/{page}?{urlencode(dict.fromkeys(circuit, HOSTILE))}")
        hostile.page.wait_for_selector("[data-testid=stMain] h1")
        is_clean(hostile, f"{page or 'circuit'} of a hostile link")


def test_own_pairs_that_hold_markup_are_shown_as_text(hostile: Explorer, tmp_path: Path) -> None:
    page, upload = hostile.page, tmp_path / "pairs.csv"
    upload.write_text(PAIRS)
    page.goto(f"{hostile.url}/prune?{urlencode({'model': NAME})}")
    page.wait_for_selector("h1:has-text('Prune')")
    hostile.wait_until_idle()
    page.locator("[data-testid=stSelectbox]").filter(has_text="Task").last.locator("input").click()
    page.get_by_role("option", name="Own pairs").click()
    hostile.wait_until_idle()
    page.locator("[data-testid=stFileUploader] input").set_input_files(upload)
    page.wait_for_function("document.querySelector('.st-key-prune_own_pairs textarea').value")
    is_clean(hostile, "own pairs")
    page.locator(".st-key-prune_own_pairs textarea").fill(f"{HOSTILE}\n{HOSTILE}")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("[data-testid=stAlert]")
    is_clean(hostile, "a text that is no pairs")
