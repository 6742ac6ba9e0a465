"""The library page without a browser: what exists, fetch, verify, delete, and bad states."""

import time
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import circuit_sparsity.store.store as store_module
from circuit_sparsity.store import Store
from circuit_sparsity.store.download import part_path
from circuit_sparsity.ui.library import library

PAGE = Path(__file__).parent.parent.parent / "pages" / "library.py"
PATIENCE = 60.0  # seconds
YOLO2_VIZ = "viz/csp_yolo2/bracket_counting_beeg/prune_v4/k_optim/viz_data.pt"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, release_fixture: Path) -> Store:
    """An empty folder; the container is the release's layout in a folder; the starter ships."""
    shipped = tmp_path / "shipped"
    (shipped / "models" / "starter").mkdir(parents=True)
    for name in ("beeg_config.json", "model.safetensors"):
        (shipped / "models" / "starter" / name).write_bytes(b"{}")
    monkeypatch.setattr(store_module, "_shipped_folder", lambda: shipped)
    monkeypatch.setenv("CIRCUIT_SPARSITY_CACHE", str(tmp_path / "mine"))
    monkeypatch.setenv("CIRCUIT_SPARSITY_URL", release_fixture.as_uri())
    return Store.from_environment()


@pytest.fixture
def page(store: Store) -> AppTest:
    """The page over a container that has been listed."""
    store.refresh()
    return run(AppTest.from_file(str(PAGE), default_timeout=120))


def run(app):
    app.run()
    assert not app.exception, app.exception
    return app


def press(app, label):
    button(app, label).click()
    return run(app)


def button(app, label):
    return next(button for button in app.button if button.label.startswith(label))


def wait(app):
    """Until no job runs."""
    end = time.monotonic() + PATIENCE
    while any(b.label in ("Cancel", "Stopping …") for b in run(app).button):
        assert time.monotonic() < end, "a job did not end"
        time.sleep(0.05)
    return run(app)


def choose(app, **parts):
    for part, value in parts.items():
        app.selectbox(key=f"library_{part}").set_value(value)
        run(app)
    return app


def type_in(monkeypatch, **parts):
    """What AppTest cannot do: names in the fields that are not among their options."""
    names = library.Scope(*(parts.get(part) for part in library.Scope._fields))
    monkeypatch.setattr(library, "scope", lambda store, known: names)


def table(app):
    return app.dataframe[0].value


def said(app):
    kinds = (app.success, app.warning, app.error, app.info)
    return "\n".join(part.value for kind in kinds for part in kind).replace("\\", "")


def test_the_table_has_each_model_and_circuit_of_the_container_once(page, release_fixture):
    circuits = [path.parent for path in release_fixture.glob("viz/*/*/*/*/viz_data.pt")]
    rows = table(page)
    assert sum(rows["what"] == "circuit") == len(circuits) == 6
    models = {path.name for path in (release_fixture / "models").iterdir()} | {"starter"}
    assert set(rows[rows["what"] == "model"]["name"]) == models
    assert not rows.duplicated(["what", "name"]).any()


def test_sizes_licence_and_place_are_those_of_the_files(page, release_fixture):
    rows = table(page).set_index(["what", "name"])
    folder = release_fixture / "models" / "csp_yolo2"
    yolo2 = rows.loc[("model", "csp_yolo2")]
    assert yolo2["size"] == sum(path.stat().st_size for path in folder.iterdir())
    assert (yolo2["where"], yolo2["licence"]) == ("not here", "Apache-2.0")
    assert rows.loc[("model", "starter")]["where"] == "ships with the project"


def test_before_the_first_listing_the_documented_files_are_shown(store):
    app = run(AppTest.from_file(str(PAGE), default_timeout=120))
    assert any("publicly documented" in caption.value for caption in app.caption)
    rows = table(app).set_index(["what", "name"])
    assert rows.loc[("model", "csp_yolo1")]["size"] == 642_319_670
    press(app, "Refresh the list")
    wait(app)
    assert any("listed 24 files" in caption.value for caption in app.caption)


def test_a_container_that_cannot_be_reached_is_a_sentence_and_the_list_stays(
    store, monkeypatch, tmp_path
):
    monkeypatch.setenv("CIRCUIT_SPARSITY_URL", (tmp_path / "nothing").as_uri())
    app = run(AppTest.from_file(str(PAGE), default_timeout=120))
    wait(press(app, "Refresh the list"))
    assert "publicly documented; more may be there" in said(app)
    assert len(table(app)) > 5


def test_one_k_with_its_model_is_fetched_verified_and_then_here(page, store, release_fixture):
    choose(page, model="csp_yolo2", task="bracket_counting_beeg", sweep="prune_v4", k="k_optim")
    wait(press(page, "Download 7 files"))
    assert "7 files" in said(page)
    assert "downloaded and verified" in said(page)
    here = store.folder / YOLO2_VIZ
    assert here.read_bytes() == (release_fixture / YOLO2_VIZ).read_bytes()
    assert set(table(page)["where"]) == {"downloaded"}
    assert table(page)["last used"].notna().all()
    assert store.path_of_model("csp_yolo2") is not None
    assert button(page, "Nothing to download").disabled


def test_without_its_model_a_circuit_is_one_file(page, store):
    choose(page, model="csp_yolo2", task="bracket_counting_beeg")
    page.toggle(key="library_with_models").set_value(False)
    wait(press(run(page), "Download 1 file, 2.0 MB"))
    assert [item.name for item in store.items() if item.where == "cached"] == [YOLO2_VIZ]


def test_the_button_says_the_size_of_what_is_missing(page, release_fixture):
    choose(page, model="dense1_1x")
    folder = release_fixture / "models" / "dense1_1x"
    size = sum(path.stat().st_size for path in folder.iterdir())
    tokenizer = sum(path.stat().st_size for path in (release_fixture / "tinypython").iterdir())
    assert f"{(size + tokenizer) / 1000:.1f} kB" in button(page, "Download").label


def test_an_empty_file_of_the_container_is_named_and_does_not_stop_the_others(page, store):
    choose(page, model="csp_bridges1")
    wait(press(page, "Download"))
    assert "final_bridges.pt" in said(page)
    assert "0 bytes long" in said(page)
    assert store.path_of_model("csp_bridges1") is not None
    assert button(page, "Try again")


def test_what_nobody_has_listed_can_be_named_and_is_said_to_be_missing(page, monkeypatch):
    type_in(monkeypatch, model="csp_yolo2", task="no_such_task", sweep="prune_v4", k="7")
    wait(press(run(page), "Download"))
    assert "no_such_task/prune_v4/7/viz_data.pt is not in" in said(page)


def test_half_a_name_of_nothing_known_says_how_to_go_on(page, monkeypatch):
    type_in(monkeypatch, model="csp_yolo2", task="no_such_task")
    run(page)
    assert "nothing is known of csp_yolo2 · no_such_task" in said(page)


def test_changed_bytes_are_found_and_had_again(page, store, release_fixture):
    choose(page, model="csp_yolo2", task="bracket_counting_beeg")
    wait(press(page, "Download"))
    path = store.folder / YOLO2_VIZ
    good = path.read_bytes()
    path.write_bytes(good[:1000] + b"\x00" * 8 + good[1008:])
    page.button(key=next(b.key for b in page.button if b.label == "")).click()
    wait(press(run(page), "Verify again"))
    assert "other content" in said(page)
    wait(press(page, "Download 1 damaged again"))
    assert path.read_bytes() == (release_fixture / YOLO2_VIZ).read_bytes()


def test_delete_asks_first_and_then_frees_the_space_of_the_choice_alone(page, store):
    choose(page, model="csp_yolo2")
    wait(press(page, "Download"))
    choose(page, task="else_elif_beeg")
    press(page, "Delete …")
    assert len(list(store.folder.glob("viz/csp_yolo2/*/*/*/viz_data.pt"))) == 2
    page.button(key="library_really_delete").click()
    run(page)
    left = list(store.folder.glob("viz/csp_yolo2/*/*/*/viz_data.pt"))
    assert [path.parts[-4] for path in left] == ["bracket_counting_beeg"]
    assert "1.3 MB freed" in said(page)
    assert store.path_of_model("csp_yolo2") is not None


def test_deleting_everything_keeps_what_was_made_here_and_what_ships(page, store):
    own = store.viz_folder("starter", "t", "own", "8") / "viz_data.pt"
    own.write_bytes(b"mine")
    choose(page, model="dense1_1x")
    wait(press(page, "Download"))
    choose(page, model=None)
    press(page, "Delete …")
    page.button(key="library_really_delete").click()
    run(page)
    assert own.exists()
    assert {item.where for item in store.items()} == {"local", "shipped", "remote"}
    assert store.usage().downloaded == 0


def test_what_arrived_of_a_stopped_download_is_deleted_with_its_model_alone(page, store):
    for model in ("csp_yolo1", "csp_yolo2"):
        part = part_path(store.folder, f"models/{model}/final_model.pt")
        part.parent.mkdir(parents=True)
        part.write_bytes(b"x" * 1500)
    choose(page, model="csp_yolo2")
    press(page, "Delete …")
    page.button(key="library_really_delete").click()
    run(page)
    assert "1.5 kB freed" in said(page)
    assert store.usage().unfinished == 1500


def test_with_a_filter_only_what_is_shown_is_deleted(page, store):
    choose(page, model="dense1_1x")
    wait(press(page, "Download"))
    choose(page, model=None)
    page.segmented_control(key="library_only").set_value("Not here")
    assert button(run(page), "Delete …").disabled
    assert store.path_of_model("dense1_1x") is not None


def test_what_only_ships_cannot_be_deleted(page):
    choose(page, model="starter")
    assert button(page, "Delete …").disabled


def test_the_filter_shows_what_is_here_or_what_is_not(page):
    page.segmented_control(key="library_only").set_value("On this machine")
    assert set(table(run(page))["name"]) == {"starter"}
    page.segmented_control(key="library_only").set_value("Not here")
    assert "starter" not in set(table(run(page))["name"])


def test_the_page_says_where_the_folder_is_and_how_to_move_it(page, store):
    text = " ".join(caption.value for caption in page.caption)
    assert str(store.folder) in text
    assert "CIRCUIT_SPARSITY_CACHE" in text
