"""Pairs from a file and from a function."""

import json
import random

import pytest

from circuit_sparsity.tasks.own import FunctionTask, OwnTask, read_pairs
from circuit_sparsity.tasks.task import (
    SPLITS,
    Pair,
    Prompt,
    PromptsCut,
    Task,
    TooFewPairs,
    encode,
    pairs_up_to,
    prompts_cut,
)

HEADER = "prompt,right,wrong,counterpart\n"
FOR = Pair(Prompt("for item", " in", ":\n"), Prompt("while item", ":\n", " in"))


def numbered(n: int) -> tuple[Pair, ...]:
    return tuple(
        Pair(Prompt(f"for x{i}", " in", ":"), Prompt(f"while x{i}", ":", " in")) for i in range(n)
    )


def test_a_csv_file_keeps_blanks_and_line_breaks(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text(HEADER + 'for item, in,":\n",while item\n', encoding="utf-8")
    assert read_pairs(path) == (FOR,)


def test_a_spreadsheets_byte_order_mark_and_line_ends_are_no_part_of_the_fields(tmp_path):
    path = tmp_path / "own.csv"
    path.write_bytes(b"\xef\xbb\xbfprompt,right,wrong,counterpart\r\na,b,c,d\r\n\r\ne,f,g,h\r\n")
    assert [pair.positive.text for pair in read_pairs(path)] == ["a", "e"]
    assert read_pairs(path)[0].positive.wrong == "c"


def test_columns_may_stand_in_any_order():
    text = "wrong,counterpart,prompt,right\n:,while x,for x, in\n"
    assert read_pairs(text)[0].positive == Prompt("for x", " in", ":")


def test_a_jsonl_text_gives_the_same_pairs():
    row = {"prompt": "for item", "right": " in", "wrong": ":\n", "counterpart": "while item"}
    assert read_pairs(json.dumps(row) + "\n\n") == (FOR,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"the text: no pairs\. Expected at least one line with prompt, right"),
        (HEADER, "no pairs"),
        (
            "prompt,right,wrong\na,b,c\n",
            r"the fields are prompt, right, wrong \(separated by a comma\); expected",
        ),
        (HEADER + "a,b,c,d\na,b,c\n", r"line 3: 3 fields; expected 4 .*Put a field with a comma"),
        (HEADER + '"a\nb",c,d,e\nf,,g,h\n', "line 4: right is ''; expected text"),
        (HEADER + "a,b,b,d\n", "line 2: right and wrong are the same"),
        (HEADER + "a,b,c,a\n", "line 2: prompt and counterpart are the same"),
        (HEADER + "a,b,c,d\ne,f,g,h\na,b,c,d\n", "line 4: the same pair as in line 2"),
        (HEADER + 'a,"b,c,d\n', r"line 2: no CSV .*Close the quotes"),
        ('{"prompt": "a"\n', r"line 1: no JSON .*Write one object a line"),
        ('{"prompt": "a"}\n', "line 1: the fields are prompt; expected prompt, right, wrong"),
        (
            '{"prompt": "a", "right": 1, "wrong": "c", "counterpart": "d"}\n',
            "line 1: right is 1; expected text",
        ),
        (
            '\n{"prompt": "a", "right": "b", "wrong": "c", "counterpart": "d"}\n[1]\n',
            "line 3: a list; expected an object",
        ),
    ],
)
def test_what_cannot_be_read_is_named_by_its_line(text, message):
    with pytest.raises(ValueError, match=message):
        read_pairs(text)


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_other_separators_than_a_comma_are_read(separator):
    line = separator.join
    fields = ("prompt", "right", "wrong", "counterpart")
    text = f"{line(fields)}\n{line(('for item', ' in', ':', 'while item'))}\n"
    assert read_pairs(text)[0].positive == Prompt("for item", " in", ":")
    assert read_pairs(f"sep={separator}\n{text}") == read_pairs(text)


def test_a_comma_in_a_file_of_semicolons_is_part_of_a_field():
    text = "prompt;right;wrong;counterpart\nf(a, b;);:;g(a, b\n"
    assert read_pairs(text)[0].positive == Prompt("f(a, b", ")", ":")


def test_an_unknown_separator_and_a_missing_column_are_named():
    with pytest.raises(ValueError, match=r"line 1: columns separated by '#'; expected a comma"):
        read_pairs("sep=#\nprompt#right#wrong#counterpart\n")
    message = r"line 1: the fields are prompt, right, wrong \(separated by a semicolon\); expected"
    with pytest.raises(ValueError, match=message):
        read_pairs("prompt;right;wrong\na;b;c\n")
    with pytest.raises(ValueError, match="line 1: there are two columns right"):
        read_pairs("prompt,right,wrong,counterpart,Right\na,b,c,d,e\n")


def test_capitals_other_columns_and_empty_lines_are_read():
    text = "\n Prompt ,RIGHT,id,Wrong,Counterpart,\n\nfor x, in,1,:,while x,\n,,,,,\n"
    assert read_pairs(text) == (Pair(Prompt("for x", " in", ":"), Prompt("while x", ":", " in")),)


def test_a_trailing_comma_on_lines_alone_is_read_and_a_further_field_is_not():
    assert len(read_pairs(HEADER + "a,b,c,d,\n")) == 1
    with pytest.raises(ValueError, match="line 2: 5 fields; expected 4"):
        read_pairs(HEADER + "a,b,c,d,e\n")


def test_a_json_array_is_read_and_its_items_are_counted():
    row = {"Prompt": "for item", "right": " in", "wrong": ":\n", "counterpart": "while item"}
    text = "\ufeff" + json.dumps([row], indent=1)
    assert read_pairs(text) == (FOR,)
    with pytest.raises(ValueError, match="item 2: right is None; expected text"):
        read_pairs(json.dumps([row, row | {"right": None}]))
    with pytest.raises(ValueError, match=r"no JSON .*Close the array"):
        read_pairs("[" * 100_000)


def test_the_columns_of_eap_ig_are_refused_with_the_reason():
    message = "clean, correct_idx, corrupted, incorrect_idx are those of EAP-IG, whose correct_idx"
    with pytest.raises(ValueError, match=message):
        read_pairs("clean,corrupted,correct_idx,incorrect_idx\na,b,5,7\n")


def test_contradictory_answers_show_both_rows():
    """The second row says of 'aa' what the first one denies."""
    text = HEADER + "aa, b, c,bb0\nq, b, c,r\naa, c, b,bb1\n"
    message = (
        r"after 'aa' the answer ' c' is right in one row and wrong in the other\. "
        r"line 2: prompt 'aa', right ' b', wrong ' c', counterpart 'bb0'; "
        r"line 4: prompt 'aa', right ' c', wrong ' b', counterpart 'bb1'\. Keep the one"
    )
    with pytest.raises(ValueError, match=message):
        read_pairs(text)


def test_a_pair_and_its_mirror_image_are_in_one_split():
    straight = numbered(8)
    mirrored = tuple(Pair(pair.negative, pair.positive) for pair in straight)
    task = OwnTask("own", "My task.", (*straight, *mirrored))
    parts = [pairs_up_to(task, split, 99) for split in SPLITS]
    assert [len(part) for part in parts] == [8, 4, 4]
    prompts = [{p.text for pair in part for p in (pair.positive, pair.negative)} for part in parts]
    for i, some in enumerate(prompts):
        assert all(some.isdisjoint(others) for others in prompts[i + 1 :])


def test_pairs_that_share_a_prompt_by_way_of_others_are_one_group():
    chain = ["a", "b", "c", "d"]
    pairs = [
        Pair(Prompt(one, " in", ":"), Prompt(two, ":", " in"))
        for one, two in (chain[:2], ["c", "b"], chain[2:])
    ]
    task = OwnTask("own", "My task.", (*numbered(3), *pairs))
    assert [len(group) for group in task.groups] == [1, 1, 1, 3]
    with pytest.raises(ValueError, match="has 5 pairs in 3 groups that share a prompt; expected"):
        OwnTask("own", "My task.", (*numbered(2), *pairs))


def test_prompts_longer_than_the_context_are_told(release):
    long = "a = 1; " * 20
    pairs = [
        Pair(Prompt(f"{long}for x", " in", ":"), Prompt(f"{long}while x", ":", " in")),
        Pair(Prompt("for y", " in", ":"), Prompt("while y", ":", " in")),
    ]
    excess = len(release.encode(f"{long}while x")) - 30
    with pytest.warns(PromptsCut, match=rf"^2 of 4 prompts have more than the 30 .* {excess} tok"):
        batch = encode(pairs, release, 30)
    assert batch.tokens.shape == (4, 30)
    assert "is cut" in (prompts_cut(pairs, release, 30) or "")
    assert prompts_cut(pairs, release, 300) is None


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file .*own\.csv"):
        read_pairs(tmp_path / "own.csv")


def test_a_file_that_is_no_text_is_named(tmp_path):
    path = tmp_path / "own.csv"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"own\.csv is not UTF-8 text.*Save it as UTF-8"):
        read_pairs(path)


def test_half_of_ones_own_pairs_is_for_pruning_and_no_pair_is_in_two_splits():
    task = OwnTask("own", "My task.", numbered(20))
    parts = [set(pairs_up_to(task, split, 99)) for split in SPLITS]
    assert [len(part) for part in parts] == [10, 5, 5]
    assert set.union(*parts) == set(task.all_pairs)


def test_a_seed_orders_ones_own_pairs():
    task = OwnTask("own", "My task.", numbered(80))
    assert task.pairs("prune", 20, seed=1) == task.pairs("prune", 30, seed=1)[:20]
    assert task.pairs("prune", 20, seed=1) != task.pairs("prune", 20, seed=2)


def test_asking_for_more_pairs_than_there_are_says_how_many_there_are():
    task = OwnTask("own", "My task.", numbered(9))
    with pytest.raises(TooFewPairs, match="gives 2 different pairs in split test; 3 were") as error:
        task.pairs("test", 3)
    assert error.value.available == 2


def test_too_few_pairs_for_three_splits_are_an_error():
    with pytest.raises(ValueError, match="has 3 pairs; expected at least 4"):
        OwnTask("own", "My task.", numbered(3))


def test_an_unknown_split_of_ones_own_task_is_an_error():
    with pytest.raises(ValueError, match="'train'; expected one of prune"):
        OwnTask("own", "My task.", numbered(4)).pairs("train", 1)


def few(rng: random.Random, split: str) -> Pair:
    name = f"{split}{rng.randint(0, 2)}"
    return Pair(Prompt(f"for {name}", " in", ":"), Prompt(f"while {name}", ":", " in"))


def test_a_function_makes_different_pairs_as_long_as_it_can():
    task = FunctionTask("few", "A few pairs.", few)
    assert len(set(task.pairs("prune", 3))) == 3
    assert task.pairs("prune", 3, seed=5) == task.pairs("prune", 3, seed=5)
    assert len(pairs_up_to(task, "test", 10)) == 3
    with pytest.raises(TooFewPairs, match="gives 3 different pairs in split test; 4 were"):
        task.pairs("test", 4)


def test_ones_own_tasks_are_tasks(release):
    own = OwnTask("own", "My task.", numbered(8))
    assert isinstance(own, Task)
    assert isinstance(FunctionTask("few", "A few pairs.", few), Task)
    batch = encode(own.pairs("prune", 4), release, 127)
    assert release.decode([int(batch.right[0])]) == " in"
