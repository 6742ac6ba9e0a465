"""The wheel in an empty environment, from another folder, with an empty home and no network.

What the package depends on is lent by a path file, so that nothing is downloaded, and so are the
kernels that the clone compiled; the package itself is what was built and installed.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import pytest

from circuit_sparsity.cli import COMMANDS

ROOT = Path(__file__).parent.parent
DOCUMENTS = ("README.md", "docs/PYTHON.md")
LARGEST = 60_000_000  # bytes of the wheel
SHOWN = "".join((ROOT / name).read_text(encoding="utf-8") for name in DOCUMENTS)
SNIPPETS = re.findall(r"^```python\n(.*?)^```", SHOWN, re.MULTILINE | re.DOTALL)
# Draws a circuit, runs every snippet, and says where the package came from.
_CHECK = """
import json, sys
from streamlit.testing.v1 import AppTest
import circuit_sparsity
from circuit_sparsity.cli.app import app_file

page = AppTest.from_file(str(app_file()), default_timeout=300)
page.query_params["model"] = "starter"  # an address that asks for nothing opens the cards
page.run()
space = {}
for snippet in json.loads(sys.argv[1]):
    exec(snippet, space)
print(json.dumps({
    "package": circuit_sparsity.__file__,
    "app": str(app_file()),
    "trouble": [one.message for one in page.exception] + [one.value for one in page.error],
    "charts": len(page.get("plotly_chart")),
    "circuit": page.query_params.get("k"),
}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The folder of programs of an environment with the wheel alone."""
    place = tmp_path_factory.mktemp("environment") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    python = place / "bin" / "python"
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
        + ["--no-deps", "--no-index", "--no-compile", str(wheel)],
        check=True,
    )
    (packages,) = place.glob("lib/python*/site-packages")
    (packages / "lent.pth").write_text(sysconfig.get_path("purelib"))
    _lend_kernels(packages / "circuit_sparsity")
    return place / "bin"


def _lend_kernels(package: Path) -> None:
    """What numba compiled for the clone, and the times of the files by which it knows them."""
    clone = ROOT / "circuit_sparsity"
    for source in (*clone.rglob("*.py"), *clone.rglob("__pycache__/*.nb?")):
        place = package / source.relative_to(clone)
        place.parent.mkdir(exist_ok=True)
        if source.suffix == ".py":
            shutil.copystat(source, place)
        else:
            shutil.copy2(source, place)


@pytest.fixture(scope="module")
def other_folder(tmp_path_factory) -> tuple[Path, Mapping[str, str]]:
    """Another folder to run in, and an environment with an empty home and no network."""
    home = tmp_path_factory.mktemp("home")
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    blocks = {name: value for name, value in os.environ.items() if name.startswith("OPENBLAS")}
    nowhere = "http://127.0.0.1:9"
    proxies = {"HTTP_PROXY": nowhere, "HTTPS_PROXY": nowhere, "NO_PROXY": "127.0.0.1"}
    settings = kept | blocks | proxies | {"HOME": str(home), "OMP_NUM_THREADS": "1"}
    return tmp_path_factory.mktemp("other_folder"), settings


def test_it_is_no_larger_than_60_mb(wheel):
    assert wheel.stat().st_size <= LARGEST


def test_the_first_page_draws_and_every_snippet_of_readme_and_python_runs(installed, other_folder):
    folder, settings = other_folder
    done = subprocess.run(
        [str(installed / "python"), "-c", _CHECK, json.dumps(SNIPPETS)],
        cwd=folder,
        env=settings,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert Path(told["package"]).is_relative_to(installed.parent)
    assert Path(told["app"]).is_relative_to(installed.parent)
    assert told["trouble"] == []
    assert told["charts"] >= 1
    assert len(SNIPPETS) >= 4


def test_the_console_command_serves_the_app(installed, other_folder):
    folder, settings = other_folder
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--server.port", str(port), "--server.headless", "true"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(installed / "circuit-sparsity"), "app", *options],
            cwd=folder,
            env=settings,
            stdout=log,
            stderr=log,
        )
        try:
            answers = [_get(port, path, process) for path in ("_stcore/health", "")]
        finally:
            process.terminate()
            process.wait(60)
    assert answers[0] == b"ok"
    assert b"<title>Streamlit</title>" in answers[1]


def test_the_console_command_and_the_package_say_the_same_of_every_command(installed, other_folder):
    folder, settings = other_folder
    script = "\n".join(f"circuit-sparsity {name} --help || exit 1" for name in COMMANDS)
    path = f"{installed}{os.pathsep}{settings['PATH']}"
    console = _told(["sh", "-c", script], folder, {**settings, "PATH": path})
    assert all(f"usage: circuit-sparsity {name} [-h]" in console for name in COMMANDS)
    python = str(installed / "python")
    module = _told([python, "-m", "circuit_sparsity", "list", "--help"], folder, settings)
    assert module.startswith("usage: python -m circuit_sparsity list [-h]")


def test_what_ships_is_found_inside_the_package(installed, other_folder):
    folder, settings = other_folder
    asked = ["list", "--model", "starter", "--here", "--json"]
    told = _told([str(installed / "circuit-sparsity"), *asked], folder, settings)
    assert '"k": "k44_seed0", "where": "shipped"' in told


def _told(command: list[str], folder: Path, settings: Mapping[str, str]) -> str:
    done = subprocess.run(
        command, cwd=folder, env=settings, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _get(port: int, path: str, process: subprocess.Popen[bytes]) -> bytes:
    for _ in range(300):
        assert process.poll() is None, "the app ended"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=5) as answer:
                return answer.read()
        except OSError:
            time.sleep(0.2)
    raise AssertionError("the app did not answer")
