"""The documented tasks of one's own are what the document says."""

import runpy
from pathlib import Path

from circuit_sparsity.tasks.own import OwnTask, read_pairs
from circuit_sparsity.tasks.task import SPLITS, pairs_up_to

FOLDER = Path(__file__).parents[2] / "docs" / "own_tasks"


def test_the_two_files_hold_the_same_eight_pairs():
    pairs = read_pairs(FOLDER / "comparison.csv")
    assert len(pairs) == 8
    assert read_pairs(FOLDER / "comparison.jsonl") == pairs
    task = OwnTask("comparison", "Compare or assign.", pairs)
    assert [len(pairs_up_to(task, split, 99)) for split in SPLITS] == [4, 2, 2]


def test_the_function_makes_other_pairs_for_each_split():
    task = runpy.run_path(str(FOLDER / "comparison.py"))["TASK"]
    made = {split: set(task.pairs(split, 20)) for split in SPLITS}
    assert not made["prune"] & made["test"]
    assert made["prune"] == set(task.pairs("prune", 20))
