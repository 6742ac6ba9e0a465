"""A circuit in a few numbers: those of its file, and of no other version of it."""

import json
import math
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from circuit_sparsity.experiment import sizes
from circuit_sparsity.experiment.opening import open_stored
from circuit_sparsity.experiment.sizes import SHIPPED, read_sized, sized
from circuit_sparsity.store import Store
from tests.ui.conftest import MODEL, SWEEP, TASK, K, fill

NAMES = (MODEL, TASK, SWEEP, K)


@pytest.fixture
def store(release_fixture: Path, tmp_path: Path) -> Store:
    return Store(tmp_path / "nothing", fill(tmp_path / "cache", release_fixture), "http://none")


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The whole files that are read."""
    read: list[str] = []

    def told(*names: object) -> object:
        read.append(str(names[1]))
        return open_stored(*names)

    monkeypatch.setattr(sizes, "open_stored", told)
    return read


def test_a_whole_file_is_read_once_and_again_when_it_is_another(store: Store, reads) -> None:
    stored = open_stored(store, *NAMES)
    for _ in range(2):
        assert read_sized(store, *NAMES) == sized(stored)
    assert len(reads) == 1
    path = store.path_of_viz(*NAMES)
    whole = torch.load(path, weights_only=True)
    torch.save({"circuit_data": whole["circuit_data"]}, path)
    found = read_sized(store, *NAMES)
    assert len(reads) == 2
    assert (found.nodes, found.edges) == (stored.circuit.size, 0)
    assert math.isnan(found.loss)
    assert math.isnan(read_sized(store, *NAMES).loss)
    assert len(reads) == 2


def test_damaged_numbers_are_read_from_the_file_anew(store: Store, reads) -> None:
    expected = read_sized(store, *NAMES)
    (kept,) = (store.folder / ".store" / "sizes").rglob("*.json")
    for damage in ("{", json.dumps({"bytes": "x"}), "null"):
        kept.write_text(damage)
        assert read_sized(store, *NAMES) == expected
    assert len(reads) == 4


def test_the_numbers_of_what_ships_are_those_of_the_files(reads) -> None:
    store = replace(Store.from_environment(), folder=Path("/nonexistent"))
    kept = json.loads((store.shipped / SHIPPED).read_text())["circuits"]
    rows = [row for row in store.rows() if row.where == "shipped"]
    assert len(kept) == len(rows)
    small = [row for row in rows if row.size is not None and row.size < 1_500_000]
    for row in random.Random(0).sample(small, 6):
        names = (row.model, row.task, row.sweep, row.k)
        assert read_sized(store, *names) == sized(open_stored(store, *names))
    assert reads == []
