"""What the sidebar chose and is not here: a circuit comes at once, a model on a button."""

import re
import shutil
import time
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import circuit_sparsity.store.store as store_module
from circuit_sparsity.release import read_viz
from circuit_sparsity.store import Store
from circuit_sparsity.ui.shell import fetching

PAGES = Path(__file__).parent.parent.parent / "pages"
PATIENCE = 60.0  # seconds
MODEL, TASK, SWEEP, K = "csp_yolo2", "bracket_counting_beeg", "prune_v4", "k_optim"
VIZ = f"viz/{MODEL}/{TASK}/{SWEEP}/{K}/viz_data.pt"


@pytest.fixture
def container(tmp_path: Path, release_fixture: Path) -> Path:
    """A container that the test may change: links to the release's layout."""
    folder = tmp_path / "container"
    shutil.copytree(release_fixture, folder, copy_function=lambda a, b: Path(b).hardlink_to(a))
    return folder


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, container: Path) -> Store:
    """An empty folder, nothing that ships, and a container that has been listed."""
    monkeypatch.setattr(store_module, "_shipped_folder", lambda: tmp_path / "nothing")
    monkeypatch.setenv("CIRCUIT_SPARSITY_CACHE", str(tmp_path / "mine"))
    monkeypatch.setenv("CIRCUIT_SPARSITY_URL", container.as_uri())
    store = Store.from_environment()
    store.refresh()
    return store


@pytest.fixture
def open_page(store: Store):
    """A page with the sidebar beside it, as app.py puts them together."""

    def open_at(page: str = "circuit", **query: str) -> AppTest:
        script = (
            "import runpy\n"
            "from circuit_sparsity.ui.shell import pickers\n"
            "pickers.sidebar()\n"
            f"runpy.run_path({str(PAGES / (page + '.py'))!r})\n"
        )
        app = AppTest.from_string(script, default_timeout=120)
        for key, value in query.items():
            app.query_params[key] = value
        return run(app)

    return open_at


def run(app):
    app.run()
    assert not app.exception, app.exception
    return app


def wait(app):
    """Until nothing is fetched."""
    end = time.monotonic() + PATIENCE
    while any(b.label in ("Cancel", "Stopping …") for b in run(app).button):
        assert time.monotonic() < end, "a job did not end"
        time.sleep(0.05)
    return run(app)


def press(app, label):
    next(b for b in app.button if b.label.startswith(label)).click()
    return run(app)


def choose(app, part, value):
    app.selectbox(key=part).set_value(value)
    return run(app)


def said(app):
    kinds = (app.success, app.warning, app.error, app.info)
    return "\n".join(part.value for kind in kinds for part in kind).replace("\\", "")


def files_here(store):
    return {item.name for item in store.items() if item.where == "cached"}


def metrics(app):
    return {metric.label: metric.value for metric in app.metric}


def test_nothing_is_fetched_before_somebody_chooses(open_page, store):
    app = open_page()
    assert app.selectbox(key="model").value is None
    assert MODEL in app.selectbox(key="model").options
    assert "No circuits on this machine yet" in said(app)
    assert files_here(store) == set()


def test_a_chosen_circuit_comes_at_once_and_shows_what_its_file_stores(open_page, store):
    app = wait(choose(open_page(), "model", MODEL))
    assert files_here(store) == {VIZ, "tinypython/vocab.bpe", "tinypython/encoder.json"}
    stored = read_viz(store.folder / VIZ)
    assert metrics(app) == {"Task loss, nats": f"{stored.circuit_loss:.4f}"}
    assert f"**{stored.circuit.size}** of" in " ".join(text.value for text in app.markdown)
    column = app.dataframe[0].value["stored rise of the loss, nats"]
    expected = [stored.node_losses[n] - stored.circuit_loss for n in stored.circuit.node_list]
    assert column.tolist() == pytest.approx(expected)


def test_the_model_waits_for_a_click_that_says_its_size(open_page, store, release_fixture):
    app = wait(choose(open_page(), "model", MODEL))
    size = sum(p.stat().st_size for p in (release_fixture / "models" / MODEL).iterdir())
    size += (release_fixture / "viz" / MODEL / "mean_baseline_pretrain.pt").stat().st_size
    assert f"The model {MODEL} is not on this machine" in said(app)
    wait(press(app, f"Download the model, {size / 1e6:.1f} MB"))
    assert store.path_of_model(MODEL) is not None
    assert "p(right)" in metrics(app)  # it is run now


def test_a_stored_node_is_shown_with_its_stored_loss(open_page, store):
    app = wait(choose(open_page(), "model", MODEL))
    stored = read_viz(store.folder / VIZ)
    node = max(stored.circuit.node_list, key=lambda node: abs(stored.node_delta(node)))
    app.multiselect(key="nodes").select(str(node))
    run(app)
    assert metrics(app) == {"Task loss, nats, stored": f"{stored.node_losses[node]:.4f}"}


def test_stored_neighbours_say_weight_and_stored_loss_of_the_edge(open_page, store):
    app = wait(choose(open_page(), "model", MODEL))
    edge = max(read_viz(store.folder / VIZ).edges, key=lambda edge: abs(edge.delta))
    app.multiselect(key="nodes").select(str(edge.target))
    run(app)
    minus = "\N{MINUS SIGN}"
    weight = f"{edge.weight:+.3f}".replace("-", minus)
    delta = f"{edge.delta:+.4f}".replace("-", minus)
    labels = [button.label for button in app.button]
    assert f"`{edge.source}` weight {weight}, stored {delta} nats" in labels


@pytest.mark.parametrize("model", ["dense1_1x", "csp_bridges1"])
def test_a_model_without_circuits_has_a_page_that_says_what_can_be_done(open_page, store, model):
    app = choose(open_page(), "model", model)
    assert f"No circuits of {model} are known" in said(app)
    assert "prune" in said(app)
    assert files_here(store) == set()
    assert [box.key for box in app.selectbox] == ["model"]


def test_from_a_model_with_circuits_to_one_without_nothing_lingers(open_page):
    app = wait(choose(open_page(), "model", MODEL))
    choose(app, "model", "dense1_1x")
    assert "No circuits of dense1_1x" in said(app)
    assert "task" not in app.query_params
    wait(choose(app, "model", MODEL))
    assert app.selectbox(key="task").value == TASK


def test_a_model_without_means_says_why_its_circuits_cannot_be_run(open_page, store, container):
    (container / "viz" / MODEL / "mean_baseline_pretrain.pt").unlink()
    store.refresh()
    app = wait(choose(open_page(), "model", MODEL))
    wait(press(app, "Download the model"))
    assert f"The reference means of {MODEL} could not be fetched" in said(app)
    assert app.dataframe[0].value["stored rise of the loss, nats"].notna().all()


def test_a_circuit_that_the_container_lost_is_a_message_with_a_way_on(open_page, container, store):
    (container / VIZ).unlink()
    app = wait(choose(open_page(), "model", MODEL))
    assert re.search("viz_data.pt (is|was) not in", said(app))
    assert any(button.label == "Try again" for button in app.button)
    shutil.copy(container / VIZ.replace(TASK, "else_elif_beeg"), container / VIZ)
    store.refresh()
    wait(press(app, "Try again"))
    assert metrics(app)


def test_a_failed_fetch_is_not_repeated_by_itself(open_page, container):
    (container / VIZ).unlink()
    app = wait(choose(open_page(), "model", MODEL))
    for _ in range(3):
        run(app)
        assert any(button.label == "Try again" for button in app.button)


def test_a_link_to_a_known_circuit_fetches_it(open_page, store):
    wait(open_page(model=MODEL, task="else_elif_beeg", sweep=SWEEP, k=K))
    assert VIZ.replace(TASK, "else_elif_beeg") in files_here(store)


def test_what_is_here_is_chosen_before_what_would_be_fetched(open_page, store):
    store.fetch(VIZ.replace(TASK, "else_elif_beeg"))
    app = open_page()
    assert app.selectbox(key="model").value == MODEL
    assert app.selectbox(key="task").value == "else_elif_beeg"
    assert app.selectbox(key="model").options[0] == MODEL


def test_changed_bytes_are_named_and_had_again_on_a_button(open_page, store, container):
    store.fetch(VIZ)
    path = store.folder / VIZ
    path.write_bytes(b"x" + path.read_bytes()[1:])
    app = open_page(model=MODEL)
    assert "other content" in said(app)
    wait(press(app, "Download it again"))
    assert path.read_bytes() == (container / VIZ).read_bytes()


def test_what_a_model_needs_is_its_weights_tokenizer_and_means(store):
    assert set(fetching.missing_to_run(store, MODEL)) == {
        f"models/{MODEL}/beeg_config.json",
        f"models/{MODEL}/final_model.pt",
        f"viz/{MODEL}/mean_baseline_pretrain.pt",
        "tinypython/vocab.bpe",
        "tinypython/encoder.json",
    }


def test_the_prompt_page_offers_the_model_and_does_not_fail(open_page):
    app = wait(open_page("prompt", model=MODEL, task=TASK, sweep=SWEEP, k=K))
    assert f"The model {MODEL} is not on this machine" in said(app)
