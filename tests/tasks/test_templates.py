"""What holds for the pairs of every task that is made from templates."""

import ast
import builtins
import difflib
import keyword
import random
import re
from collections import Counter

import pytest

from circuit_sparsity.tasks import TASKS
from circuit_sparsity.tasks.novel import lines_of
from circuit_sparsity.tasks.task import SPLITS
from circuit_sparsity.tasks.template import WORDS, Filler, Template, TemplateTask
from circuit_sparsity.tasks.words import (
    HELD_OUT_NAMES,
    HELD_OUT_WORDS,
    IDIOM_NAMES,
    TRAIN_NAMES,
    TRAIN_VERBS,
    TRAIN_WORDS,
)

ALL = pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
IN_ALL_SPLITS = pytest.mark.parametrize("split", SPLITS)
# Names that belong to the language or to an idiom and carry no content.
LANGUAGE = {
    *keyword.kwlist,
    *keyword.softkwlist,
    *dir(builtins),
    *IDIOM_NAMES,
    *("self", "init", "add", "append", "write", "f", "r", "w", "txt", "csv", "json", "log"),
}
# Of the other tasks both answers are grammatical, for one of the prompts at least.
DECIDED_BY_GRAMMAR = (
    "single_double_quote",
    "lambda_func",
    "with_as",
    "bracket_counting",
    "bracket_brace",
    "indent_for",
    "if_ternary",
    "else_elif",
    "var_if",
    "while_return_true",
)
TRAINED_ON = {*TRAIN_NAMES, *TRAIN_WORDS, *TRAIN_VERBS}


@ALL
@IN_ALL_SPLITS
def test_prompts_with_the_right_answer_are_python(task, split):
    for example in task.examples(split, 100):
        for program in example.programs:
            ast.parse(program)


@ALL
@IN_ALL_SPLITS
def test_prompts_are_python_up_to_the_line_of_the_question(task, split):
    for example in task.examples(split, 60):
        for prompt in (example.pair.positive, example.pair.negative):
            ast.parse(without_last_statement(prompt.text))


def without_last_statement(prompt: str) -> str:
    """The prompt with `pass` for its last line, and for the open bracket or decorator before it."""
    lines = prompt.split("\n")
    start = len(lines) - 1
    while start and (
        lines[start - 1].endswith(("[", "{", ",")) or lines[start - 1].lstrip().startswith("@")
    ):
        start -= 1
    indent = len(lines[start]) - len(lines[start].lstrip())
    if lines[start] == "" and start:
        previous = lines[start - 1]
        indent = len(previous) - len(previous.lstrip()) + 4 * previous.endswith(":")
    text = "\n".join(lines[:start]) + "\n" + " " * indent + "pass\n"
    is_caught = "except" in text or "finally" in text
    return text if is_caught else re.sub(r"\btry:", "if True:", text)


@pytest.mark.parametrize("name", DECIDED_BY_GRAMMAR)
@IN_ALL_SPLITS
def test_the_wrong_answer_is_no_python_where_grammar_decides(name, split):
    for example in TASKS[name].examples(split, 60):
        for prompt in (example.pair.positive, example.pair.negative):
            for finish in example.finish:
                with pytest.raises(SyntaxError):
                    ast.parse(prompt.text + prompt.wrong + finish)


@ALL
@IN_ALL_SPLITS
def test_what_is_right_for_one_prompt_of_a_pair_is_wrong_for_the_other(task, split):
    for pair in task.pairs(split, 100):
        assert pair.positive.right == pair.negative.wrong
        assert pair.positive.wrong == pair.negative.right
        assert pair.positive.right != pair.positive.wrong
        assert pair.positive.text != pair.negative.text


@ALL
def test_a_guess_of_the_most_frequent_answer_is_right_half_of_the_time(task):
    prompts = [p for pair in task.pairs("test", 128) for p in (pair.positive, pair.negative)]
    guess, _ = Counter(p.right for p in prompts).most_common(1)[0]
    decided = [p for p in prompts if guess in (p.right, p.wrong)]
    assert sum(p.right == guess for p in decided) == len(decided) / 2


@ALL
@IN_ALL_SPLITS
def test_pairs_differ_in_a_few_words_at_most(task, split):
    for pair in task.pairs(split, 60):
        first, second = (
            re.findall(r"\w+|\W", prompt.text) for prompt in (pair.positive, pair.negative)
        )
        matcher = difflib.SequenceMatcher(None, first, second, autojunk=False)
        changes = [op for op in matcher.get_opcodes() if op[0] != "equal"]
        changed = sum(max(i2 - i1, j2 - j1) for _, i1, i2, j1, j2 in changes)
        assert changed <= 8


@ALL
@IN_ALL_SPLITS
def test_the_same_seed_gives_the_same_pairs_and_more_pairs_begin_with_fewer(task, split):
    assert task.pairs(split, 40, seed=3)[:15] == task.pairs(split, 15, seed=3)


@ALL
@IN_ALL_SPLITS
def test_two_seeds_share_few_pairs(task, split):
    shared = set(task.pairs(split, 64, seed=1)) & set(task.pairs(split, 64, seed=2))
    assert len(shared) <= 6


@ALL
@IN_ALL_SPLITS
def test_pairs_within_a_split_are_different(task, split):
    assert len(set(task.pairs(split, 256))) == 256


@ALL
def test_there_are_at_least_eight_templates_and_each_split_has_its_own(task):
    assert len(task.templates) >= 8
    counts = Counter(template.split for template in task.templates)
    assert counts["prune"] >= 3
    assert counts["validation"] >= 2
    assert counts["test"] >= 3
    assert len({template.text for template in task.templates}) == len(task.templates)


@ALL
def test_templates_differ_in_more_than_their_names(task):
    forms = [re.sub(r"\$[a-zA-Z]\d", "$", template.text) for template in task.templates]
    assert len(set(forms)) == len(forms)


@ALL
def test_at_least_eight_templates_have_structures_of_their_own(task):
    rng = random.Random(0)
    made = [task.example(template, WORDS[template.split], rng) for template in task.templates]
    assert len({lines_of(example.programs[0]) for example in made}) >= 8


@ALL
def test_no_structure_of_one_split_is_in_another(task):
    found = {split: set() for split in SPLITS}
    rng = random.Random(0)
    for template in task.templates:
        example = task.example(template, WORDS[template.split], rng)
        found[template.split].add(lines_of(example.programs[0]))
    assert not found["prune"] & found["validation"]
    assert not found["prune"] & found["test"]
    assert not found["validation"] & found["test"]


@ALL
def test_no_name_or_content_of_one_split_is_in_another(task):
    seen = {split: content_words(task, split) for split in SPLITS}
    assert not seen["prune"] & seen["validation"]
    assert not seen["prune"] & seen["test"]
    assert not seen["validation"] & seen["test"]
    assert not seen["prune"] & (HELD_OUT_NAMES | HELD_OUT_WORDS)


def content_words(task: TemplateTask, split: str) -> set[str]:
    found: set[str] = set()
    for pair in task.pairs(split, 200):
        for prompt in (pair.positive, pair.negative):
            text = " ".join((prompt.text, prompt.right, prompt.wrong))
            found |= set(re.findall(r"[A-Za-z]+", text))
    stems = {word for filled in ("$R1", "$W1") for word in stems_of(filled)}
    return {word.lower() for word in found if word not in LANGUAGE} - stems


def stems_of(place: str) -> set[str]:
    fill = [Filler(WORDS["prune"], random.Random(i)) for i in range(200)]
    return {one(place) for one in fill}


@ALL
@IN_ALL_SPLITS
def test_the_length_of_a_prompt_tells_little_of_its_answer(task, split, release):
    pairs = task.pairs(split, 200)
    lengths = [
        (len(release.encode(prompt.text)), sign)
        for pair in pairs
        for prompt, sign in ((pair.positive, 1), (pair.negative, -1))
    ]
    best = max(abs(sum(sign for length, sign in lengths if length <= cut)) for cut, _ in lengths)
    # A threshold on the length is right in 1/2 + best / (2 · prompts) of the cases.
    assert 0.5 + best / len(lengths) < 0.75


@ALL
@IN_ALL_SPLITS
def test_prompts_are_short_enough_for_a_small_context(task, split, release):
    pairs = task.pairs(split, 100)
    longest = max(
        len(release.encode(prompt.text))
        for pair in pairs
        for prompt in (pair.positive, pair.negative)
    )
    assert longest <= 90


@ALL
def test_familiar_templates_are_filled_with_the_words_of_the_split(task):
    own = task.select("prune")
    example = task.examples("test", len(own) * 3, templates="familiar")
    assert {e.template for e in example} >= {t for t in own if not t.novel}
    assert all(not e.template.novel for e in example)
    words = {w.lower() for e in example for w in re.findall(r"[A-Za-z]+", e.pair.positive.text)}
    assert not words & TRAINED_ON - LANGUAGE


@ALL
def test_every_template_of_the_test_split_is_novel(task):
    assert all(template.novel for template in task.select("test"))
    assert task.pairs("test", 10) != task.pairs("test", 10, templates="familiar")


def small_task(*templates: Template) -> TemplateTask:
    return TemplateTask("small", "A small task.", ("!", "?"), templates)


def test_a_template_by_hand():
    task = small_task(Template("prune", "\n«if|while» $n1 == $n1 + $N1s", finish="«.|,»"))
    example = task.examples("prune", 1)[0]
    match = re.fullmatch(r"if (\w+) == \1 \+ (\w+)s", example.pair.positive.text)
    assert match is not None
    assert match[2] == match[1].capitalize()
    assert example.pair.negative.text == example.pair.positive.text.replace("if", "while", 1)
    assert (example.pair.positive.right, example.pair.negative.right) == ("!", "?")
    assert [program[-2:] for program in example.programs] == ["!.", "?,"]


def test_places_of_a_kind_hold_different_contents():
    for seed in range(200):
        text = Filler(WORDS["test"], random.Random(seed))("$n1 $n2 $n3 $n4 $w1 $w2 $v1 $v2 $M1 $p1")
        assert len(set(re.findall(r"\w+", text))) == len(re.findall(r"\w+", text))


def test_too_many_pairs_are_an_error():
    task = small_task(Template("prune", "«a|b»"))
    with pytest.raises(ValueError, match="gives 1 different pairs in split prune; 2 were asked"):
        task.pairs("prune", 2)


def test_an_unknown_split_is_an_error():
    with pytest.raises(ValueError, match="'train'; expected one of prune, validation, test"):
        small_task(Template("prune", "«a|b»")).pairs("train", 1)


def test_an_unknown_kind_of_template_is_an_error():
    with pytest.raises(ValueError, match="'old'; expected one of all, novel, familiar"):
        small_task(Template("prune", "«a|b»")).pairs("prune", 1, templates="old")


def test_a_split_without_novel_templates_says_so():
    with pytest.raises(ValueError, match="no novel templates in split prune"):
        small_task(Template("prune", "«a|b»")).pairs("prune", 1, templates="novel")


def test_an_unknown_place_is_an_error():
    with pytest.raises(ValueError, match=r"the place \$q1"):
        small_task(Template("prune", "$q1«a|b»")).pairs("prune", 1)
