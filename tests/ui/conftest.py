"""A cache folder with one released circuit, and the app run in this process on it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import circuit_sparsity.store.store as store_module

APP = Path(__file__).parent.parent.parent / "app.py"
MODEL, TASK, SWEEP, K = "csp_yolo2", "bracket_counting_beeg", "prune_v4", "k_optim"
QUERY = {"model": MODEL, "task": TASK, "sweep": SWEEP, "k": K}

Opener = Callable[..., AppTest]


@pytest.fixture(scope="session")
def shared_cache(release_fixture: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder with one model, one circuit, and the means; for tests that only read."""
    return fill(tmp_path_factory.mktemp("ui") / "cache", release_fixture)


def fill(folder: Path, release_fixture: Path) -> Path:
    for name in (
        f"models/{MODEL}",
        f"viz/{MODEL}/{TASK}",
        f"viz/{MODEL}/mean_baseline_pretrain.pt",
        "tinypython",
    ):
        source, place = release_fixture / name, folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, place) if source.is_dir() else shutil.copy(source, place)
    return folder


@pytest.fixture
def cache(shared_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shared folder in use, and nothing that ships beside it."""
    monkeypatch.setenv("CIRCUIT_SPARSITY_CACHE", str(shared_cache))
    monkeypatch.setattr(store_module, "_shipped_folder", lambda: tmp_path / "nothing")
    return shared_cache


@pytest.fixture
def own_cache(
    cache: Path, release_fixture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder in use that the test may damage."""
    folder = fill(tmp_path / "own", release_fixture)
    monkeypatch.setenv("CIRCUIT_SPARSITY_CACHE", str(folder))
    return folder


@pytest.fixture
def open_page(cache: Path) -> Opener:
    """Run one page alone, as a link to it does, without the first page before it."""

    def open_at(page: str, **query: str | list[str]) -> AppTest:
        app = AppTest.from_file(str(APP), default_timeout=300)
        for key, value in query.items():
            app.query_params[key] = value
        app.switch_page(f"pages/{page}.py").run()
        assert not app.exception, app.exception
        return app

    return open_at


@pytest.fixture
def open_app(cache: Path) -> Opener:
    """Run the app with these parameters in its address; fails on a traceback."""

    def open_at(page: str | None = None, **query: str | list[str]) -> AppTest:
        app = AppTest.from_file(str(APP), default_timeout=400)
        for key, value in query.items():
            app.query_params[key] = value
        app.run()
        if page:
            app.switch_page(f"pages/{page}.py").run()
        assert not app.exception, app.exception
        return app

    return open_at
