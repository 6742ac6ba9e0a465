"""For programs and plain terminals: JSON with fixed words, letters that any terminal has."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from circuit_sparsity.__main__ import main
from circuit_sparsity.cli.answer import SCHEMA, as_json

ROOT = Path(__file__).parent.parent.parent
DOCUMENT = (ROOT / "docs" / "JSON.md").read_text(encoding="utf-8")
CIRCUIT = ("starter", "single_double_quote", "full", "k24_seed0_full")


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("CIRCUIT_SPARSITY_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def documented(command: str) -> set[str]:
    """The keys that the document's table of a command names."""
    part = DOCUMENT.split(f"\n## {command}\n")[1].split("\n## ")[0]
    return {key for row in re.findall(r"^\| (`[^|]+) \|", part, re.MULTILINE)
            for key in re.findall(r"`([^`]+)`", row)}  # fmt: skip


def keys(value: object, at: str = "") -> set[str]:
    """Every key, written ``entries[].where``; what stands under names of nodes is ``{}``."""
    if isinstance(value, dict):
        return {f"{at}{key}" for key in value}.union(
            *(keys(inner, f"{at}{key}.") for key, inner in value.items())
        )
    if isinstance(value, list):
        return set().union(*(keys(inner, f"{at[:-1]}[].") for inner in value)) if value else set()
    return set()


@pytest.mark.parametrize(
    "arguments",
    [
        ("list", "--model", "starter"),
        ("evaluate", *CIRCUIT),
        ("ablate", *CIRCUIT, "--all"),
        ("patch", *CIRCUIT, "final_resid:175@last=pair", "--prompt", "0"),
        ("interchange", *CIRCUIT, "final_resid:175", "--draws", "2"),
        ("attribute", *CIRCUIT),
        ("graph", *CIRCUIT),
        ("tasks", "--task", "for_while", "--examples", "1"),
        ("verify",),
        ("clear",),
    ],
    ids=lambda arguments: arguments[0],
)
def test_keys_are_those_documented(folder, capsys, arguments):
    assert main([*arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told.pop("schema") == SCHEMA
    assert keys(told) == documented(arguments[0])


def test_where_is_one_of_four_words(folder, capsys):
    assert main(["list", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    where = {entry["where"] for entry in told["entries"]}
    assert where == {"shipped", "remote"}
    assert all(f'`"{word}"`' in DOCUMENT for word in ("shipped", "cached", "local", "remote"))


def test_a_number_that_is_not_finite_is_null():
    told = as_json({"a": float("inf"), "b": [float("nan"), 1.5], "c": {"d": -float("inf")}})
    assert json.loads(told) == {"schema": SCHEMA, "a": None, "b": [None, 1.5], "c": {"d": None}}


@pytest.mark.parametrize("encoding", ["ascii", "cp932", "gbk", "cp1252", "utf-8"])
def test_any_terminal_shows_the_answer(tmp_path, encoding):
    done = subprocess.run(
        [sys.executable, "-m", "circuit_sparsity", "tasks", "--examples", "1"],
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": encoding, "CIRCUIT_SPARSITY_CACHE": str(tmp_path)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    marked = "«for»" if encoding in ("cp1252", "utf-8") else "<<for>>"
    assert marked in done.stdout.decode(encoding)


def test_a_reader_who_has_enough_is_no_error(tmp_path):
    done = subprocess.run(
        f"{sys.executable} -m circuit_sparsity list | head -n 1",
        shell=True,
        cwd=ROOT,
        env=os.environ | {"CIRCUIT_SPARSITY_CACHE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("what")
    assert done.stderr == ""


def test_export_overwrites_only_what_it_wrote(folder, capsys):
    asked = ["export", *CIRCUIT, "--format", "json", "--out", "circuit.json"]
    assert main(asked) == 0
    assert main(asked) == 0
    Path("circuit.json").write_text("{}")
    assert main(asked) == 2
    assert "give --force to overwrite it" in capsys.readouterr().err
    assert Path("circuit.json").read_text() == "{}"
    assert main([*asked, "--force"]) == 0
    assert "nodes" in json.loads(Path("circuit.json").read_text())


def test_names_of_circuits_are_completed(tmp_path):
    line = "circuit-sparsity evaluate starter bracket_counting p"
    done = subprocess.run(
        [sys.executable, "-m", "circuit_sparsity"],
        cwd=ROOT,
        env=os.environ
        | {"_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line))}
        | {"_ARGCOMPLETE_STDOUT_FILENAME": str(tmp_path / "offered"), "_ARGCOMPLETE_IFS": "\n"}
        | {"CIRCUIT_SPARSITY_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (tmp_path / "offered").read_text().split() == ["prune"], done.stderr
