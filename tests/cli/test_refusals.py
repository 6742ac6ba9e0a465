"""What cannot be done is refused before anything that computes is imported."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from circuit_sparsity.cli import COMMANDS
from circuit_sparsity.cli.arguments import PRESETS, check_folder
from circuit_sparsity.cli.evidence import DRAWS
from circuit_sparsity.cli.prune import SWEEP, TARGET_LOSS
from circuit_sparsity.cli.tasks import PAIRS
from circuit_sparsity.store import StoreError

ROOT = Path(__file__).parent.parent.parent
TASK = ("starter", "single_double_quote")
CIRCUIT = (*TASK, "prune", "k44_seed0")
# Prints what the process imported of what is slow, and its exit status.
_RUN = """
import sys
from circuit_sparsity.__main__ import main
try:
    status = main(sys.argv[1:])
except SystemExit as end:
    status = end.code
slow = [name for name in ("torch", "numba", "streamlit", "optuna") if name in sys.modules]
print(status, *slow)
"""


def run(tmp_path: Path, *arguments: str, **settings: str) -> tuple[str, str]:
    """The last line that `_RUN` prints, and the error stream."""
    done = subprocess.run(
        [sys.executable, "-c", _RUN, *arguments],
        cwd=tmp_path,
        env=os.environ
        | {"PYTHONPATH": str(ROOT), "CIRCUIT_SPARSITY_CACHE": str(tmp_path / "cache")}
        | settings,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()[-1], done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("prune", *TASK, "--k", "9", "--sweep", "../../x"), "not the name of one folder"),
        (("prune", *TASK, "--target", "nan"), "got nan; expected a loss of more than 0 nats"),
        (("prune", *TASK, "--target", "inf"), "got inf; expected a loss of more than 0 nats"),
        (("prune", *TASK, "--target", "-1"), "got -1; expected a loss of more than 0 nats"),
        (("prune", *TASK, "--k", "0"), "got 0; expected a whole number from 1 on"),
        (("prune", *TASK, "--k", "9", "--means-over", "none.txt"), "there is no none.txt"),
        (("sweep", "starter", "--task", TASK[1], "--k", "9", "--sweep", "a/b"), "a/b"),
        (("sweep", "starter", "--task", TASK[1], "--k", "9", "--jobs", "0"), "got 0; expected"),
        (("sweep", "starter", "--task", TASK[1], "--k", "9", "--trials", "0"), "got 0; expected"),
        (("prune", *TASK, "--k", "9", "--trials", "0"), "unrecognized arguments: --trials 0"),
        (("fetch", "starter", "--as", "mine"), "begin MODEL with hf:"),
        (("sweep", "starter", "--task", TASK[1], "--target", "nan"), "got nan"),
        (("evidence", *CIRCUIT, "--seeds", "-3"), "got -3; expected a whole number from 2 on"),
        (("evidence", *CIRCUIT, "--seeds", "1"), "got 1; expected a whole number from 2 on"),
        (("evidence", *CIRCUIT, "--draws", "-1"), "got -1; expected a whole number from 0 on"),
        (("claims", "--model", "starter", "--target", "0"), "got 0; expected a loss"),
        (("tasks", "--examples", "-1"), "got -1; expected a whole number from 0 on"),
        (("export", *CIRCUIT, "--format", "json", "--out", "."), "which is a folder"),
        (("table", "--out", f"{__file__}/x.md"), "test_refusals.py is a file"),
        (("ablate", *CIRCUIT), "name nodes or edges"),
        (("patch", *CIRCUIT, "0.attn.k:210@last", "--classes"), "leave the steps out"),
        (("patch", *CIRCUIT, "--whole-model"), "name at least one"),
        (("interchange", *CIRCUIT, "--draws", "0"), "got 0; expected"),
        (("graph", *CIRCUIT, "--share", "2"), "expected 0 to 1"),
        (("nonsense",), "invalid choice: 'nonsense'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_it_is_refused_with_status_2_and_a_reason(tmp_path, arguments, message):
    told, err = run(tmp_path, *arguments)
    assert told == "2", "nothing slow may be imported before"
    assert message in err


WRITING = {  # commands that put something into the user's folder
    "prune": (*TASK, "--k", "9"),
    "sweep": ("starter", "--task", TASK[1], "--k", "9"),
    "evidence": CIRCUIT,
    "cut": (*CIRCUIT, "--k", "9", "--refine"),
    "train": ("settings/starter.json",),
    "bridge-train": ("main", "dense"),
    "fetch": ("csp_yolo2",),
}
_EACH = """
import json, os, sys
from circuit_sparsity.__main__ import main
for command, arguments in json.loads(sys.argv[1]).items():
    assert main([command, *arguments]) == 2, command
assert "torch" not in sys.modules
"""


def test_a_cache_that_is_a_file_is_said_before_anything_is_imported_that_computes(tmp_path):
    (tmp_path / "file").write_text("")
    done = subprocess.run(
        [sys.executable, "-c", _EACH, json.dumps(WRITING)],
        cwd=tmp_path,
        env=os.environ
        | {"PYTHONPATH": str(ROOT), "CIRCUIT_SPARSITY_CACHE": str(tmp_path / "file" / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = f"{tmp_path / 'file'} is a file; CIRCUIT_SPARSITY_CACHE names another folder"
    assert done.stderr.count(said) == len(WRITING)


def test_a_folder_that_cannot_be_written_is_told_from_a_file(tmp_path, monkeypatch):
    """As root everything can be written: what the system says of the folder stands in here."""
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(StoreError, match=r"into .*deep, which is read-only; give another --out"):
        check_folder(tmp_path / "deep", "the file", "give another --out")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_cache_is_said_first(tmp_path):
    folder = tmp_path / "cache"
    folder.mkdir()
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    told, err = run(tmp_path, "prune", *TASK, "--k", "9")
    assert told == "2"
    assert "read-only" in err


def test_more_nodes_than_the_model_has_are_refused_by_its_configuration(tmp_path):
    told, err = run(tmp_path, "prune", *TASK, "--k", "99999")
    assert told.split()[0] == "2"
    assert "a circuit of 99999 nodes was asked for; starter has " in err


@pytest.mark.parametrize("command", ["list", "fetch", "verify", "clear"])
def test_the_commands_about_files_import_nothing_that_computes(tmp_path, command):
    told, _ = run(tmp_path, command, "--json", CIRCUIT_SPARSITY_URL=tmp_path.as_uri())
    assert told.split()[1:] == []


def test_every_command_says_what_it_takes_without_what_computes(tmp_path):
    script = f"""
import sys
from circuit_sparsity.__main__ import main
for command in {list(COMMANDS)}:
    try:
        main([command, "--help"])
    except SystemExit as end:
        assert end.code == 0
assert "torch" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert all(f" {command} [-h]" in done.stdout for command in COMMANDS)


def test_what_is_written_down_again_to_save_imports_is_the_same():
    from circuit_sparsity.evidence import measures
    from circuit_sparsity.experiment import scores
    from circuit_sparsity.pruning import find, settings

    assert sorted(settings.PRESETS) == list(PRESETS)
    assert (measures.DRAWS, scores.PAIRS) == (DRAWS, PAIRS)
    assert (find.SWEEP, settings.TARGET_LOSS) == (SWEEP, TARGET_LOSS)
