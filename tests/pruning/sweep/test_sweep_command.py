"""The whole command on a small released model: killed in the middle, and given again."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from circuit_sparsity.__main__ import main
from circuit_sparsity.experiment.opening import open_stored
from circuit_sparsity.store import Store, paths

MODEL, TASK = "csp_yolo1", "single_double_quote"
COMMAND = Path(__file__).parent.parent.parent / "sweep_command.py"
SWEEP = ("sweep", MODEL, "--task", TASK, "--k", "12", "20", "--trials", "3", "--steps", "1")
LONGEST = 300  # seconds


@pytest.fixture
def folder(release_fixture, monkeypatch, tmp_path) -> Path:
    """A user's folder with the released models in it."""
    for part in ("models", "tinypython"):
        (tmp_path / part).symlink_to(release_fixture / part)
    means = tmp_path / paths.means_name(MODEL)
    means.parent.mkdir(parents=True)
    means.symlink_to(release_fixture / paths.means_name(MODEL))
    monkeypatch.setenv("CIRCUIT_SPARSITY_CACHE", str(tmp_path))
    monkeypatch.setenv("CIRCUIT_SPARSITY_URL", "http://127.0.0.1:9/none")
    monkeypatch.setenv("PYTHONPATH", str(COMMAND.parent.parent))
    return tmp_path


def started(*more: str) -> subprocess.Popen[str]:
    """In a process group of its own, as a shell starts a command."""
    arguments = [sys.executable, str(COMMAND), *SWEEP, "--jobs", "1", "--json", *more]
    pipe = subprocess.PIPE
    return subprocess.Popen(arguments, stdout=pipe, stderr=pipe, text=True, process_group=0)


def finished_trials(study: Path) -> list[tuple[int, str]]:
    """Number and time of the trials that are done, straight from the file."""
    if not study.exists():
        return []
    with closing(sqlite3.connect(f"file:{study}?mode=ro", uri=True, timeout=30)) as file:
        query = "SELECT number, datetime_complete FROM trials WHERE state = 'COMPLETE'"
        return file.execute(query).fetchall()


def wait_until(holds, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + LONGEST
    while not holds():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_command_that_was_killed_keeps_its_trials_and_goes_on(folder, capsys) -> None:
    cells = folder / "viz" / MODEL / TASK / "search"
    first = started()

    def trial_done() -> bool:
        return any(finished_trials(path) for path in cells.glob("*/study.db"))

    wait_until(trial_done, first)
    workers = psutil.Process(first.pid).children(recursive=True)
    assert workers
    first.send_signal(signal.SIGKILL)
    first.communicate()
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert not alive
    (study,) = cells.glob("k12_*/study.db")
    kept = finished_trials(study)
    assert 1 <= len(kept) < 3

    with started() as second:
        out, err = second.communicate(timeout=LONGEST)
    assert second.returncode == 0, err
    told = json.loads(out)["cells"]
    assert [(one["state"], one["trials"], one["nodes"]) for one in told] == [
        ("found", 3, 12),
        ("found", 3, 20),
    ]
    assert set(kept) < set(finished_trials(study))
    assert len(finished_trials(study)) == 3
    for one in told:
        stored = open_stored(Store.from_environment(), MODEL, TASK, "search", one["k"])
        trials = json.loads((Path(one["folder"]) / "trials.json").read_text())
        best = trials["table"][trials["best"]]
        assert best["loss"] == min(row["loss"] for row in trials["table"])
        # The circuit is what its trial was, found again with the same settings.
        assert stored.circuit.found.worst_loss == pytest.approx(best["loss"], abs=1e-4)
        assert stored.circuit.size == one["nodes"]
        assert [point.loss for point in stored.search] == pytest.approx([best["loss"]])

    assert main([*SWEEP, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)["cells"]
    assert again == [one | {"skipped": True} for one in told]


def test_ctrl_c_ends_the_command_and_its_workers(folder) -> None:
    cells = folder / "viz" / MODEL / TASK / "search"
    process = started("--trials", "1000")
    wait_until(lambda: list(cells.glob("k12_*/study.db")), process)
    wait_until(lambda: psutil.Process(process.pid).children(), process)
    workers = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)  # all at once, as a terminal does
    try:
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()  # nothing goes on beside the tests that follow
        process.wait()
    assert process.returncode == 130
    assert err.endswith("stopped\n")
    assert "Traceback" not in err
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert not alive


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (("--task", "sums"), "there is no task named 'sums'"),
        (("--k", "12", "1793"), "1793 nodes were asked for; csp_yolo1 has 1792 nodes"),
        (("--sweep", "a/b"), "a/b"),
    ],
)
def test_what_cannot_be_searched_is_refused_before_any_work(
    folder, capsys, changed, expected
) -> None:
    assert main([*SWEEP, *changed]) == 2
    assert expected in capsys.readouterr().err
    assert not (folder / "viz" / MODEL / TASK).exists()
