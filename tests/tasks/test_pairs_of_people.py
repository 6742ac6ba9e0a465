"""Files of pairs as people have them: one of each kind, and what comes of it."""

from pathlib import Path

import pytest

from circuit_sparsity.tasks.own import OwnTask, read_pairs
from circuit_sparsity.tasks.task import SPLITS, Pair, Prompt, PromptsCut, encode, pairs_up_to

FOLDER = Path(__file__).parents[1] / "data" / "pairs"
PLAIN = tuple(
    Pair(Prompt(f"for item{i}", " in", ":"), Prompt(f"while item{i}", ":", " in")) for i in range(8)
)


@pytest.mark.parametrize("name", ["semicolon", "headercase", "trailcomma"])
def test_another_spelling_of_the_same_table_gives_the_same_pairs(name):
    assert read_pairs(FOLDER / f"{name}.csv") == PLAIN


def test_a_pair_and_its_mirror_image_are_in_one_split():
    task = OwnTask("mirrored", "Both ways.", read_pairs(FOLDER / "mirrored_pairs.csv"))
    prompts = {
        split: {
            prompt.text
            for pair in pairs_up_to(task, split, 99)
            for prompt in (pair.positive, pair.negative)
        }
        for split in SPLITS
    }
    assert sorted(map(len, prompts.values())) == [2, 2, 4]
    assert len(set.union(*prompts.values())) == 8


def test_contradictory_rows_are_both_shown():
    with pytest.raises(ValueError, match="right in one row and wrong in the other") as caught:
        read_pairs(FOLDER / "contradictory_pairs.csv")
    assert "line 2: prompt 'aa', right ' b'" in str(caught.value)
    assert "line 3: prompt 'aa', right ' c'" in str(caught.value)


def test_prompts_longer_than_the_context_are_counted_and_their_excess_told(release):
    pairs = read_pairs(FOLDER / "long.csv")
    lengths = [
        len(release.encode(prompt.text))
        for pair in pairs
        for prompt in (pair.positive, pair.negative)
    ]
    longer = sum(length > 128 for length in lengths)
    assert longer > 0
    with pytest.warns(PromptsCut, match=f"^{longer} of {len(lengths)} prompts .*is cut") as seen:
        encode(pairs, release, 128)
    assert str(max(lengths) - 128) in str(seen[0].message)
