import ast
import builtins
import keyword
import random
import re
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from itertools import combinations
from multiprocessing import get_context

import pytest

from circuit_sparsity.core.tokenizer import load_tokenizer
from circuit_sparsity.programs import (
    FAMILIES,
    Mixture,
    generate_documents,
    generate_program,
)
from circuit_sparsity.programs.literals import nested
from circuit_sparsity.programs.syllables import invented_name
from circuit_sparsity.programs.writer import Writer
from circuit_sparsity.tasks import words
from circuit_sparsity.tasks.novel import novel_shapes
from circuit_sparsity.tasks.words import HELD_OUT_NAMES, HELD_OUT_WORDS
from circuit_sparsity.training.bpe import train_bpe, write_bpe
from circuit_sparsity.training.corpus import CorpusSettings

TEMPLATES = [
    (f"{family}.{template.__name__}", template)
    for family, (_, templates) in FAMILIES.items()
    for _, template in templates
]


def first_documents(n):
    return list(generate_documents(1, n))


def only(family, n, seed=0):
    """The text of `n` programs of one family."""
    alone = Mixture(shares={name: float(name == family) for name in FAMILIES})
    return "".join(generate_program(random.Random(f"{seed}/{i}"), alone) for i in range(n))


def novel_structures(documents):
    novel = novel_shapes()
    return [found for document in documents if (found := novel.found_in(document))]


@pytest.fixture(scope="module")
def of_family():
    """What gives the text of 1500 programs of one family, made as the documents are."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        yield cache(lambda family: pool.submit(only, family, 1500).result())


@pytest.fixture(scope="module")
def documents():
    """Four thousand programs, made where shapes and types are not checked at every call."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(first_documents, 4000).result()


def parts(text):
    """The words of a text, with `CamelCase` and `snake_case` taken apart, in small letters."""
    return set(re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).lower()))


def depth_of(node):
    inner = [depth_of(e) for e in node.elts if isinstance(e, ast.List)]
    return 1 + max(inner, default=0)


def test_every_program_parses(documents):
    for document in documents:
        ast.parse(document)


@pytest.mark.parametrize(("name", "template"), TEMPLATES, ids=[name for name, _ in TEMPLATES])
def test_a_template_alone_parses_and_is_never_twice_the_same(name, template):
    made = {"\n".join(template(Writer(random.Random(seed)))) for seed in range(60)}
    for text in made:
        ast.parse(text)
    assert len(made) > 50


def test_held_out_names_and_words_never_occur(documents):
    held_out = HELD_OUT_NAMES | HELD_OUT_WORDS
    for document in documents:
        assert not parts(document) & held_out, document


def test_the_structures_of_novel_test_prompts_never_occur(documents):
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert not pool.submit(novel_structures, documents).result()


def test_invented_names_are_new_and_no_held_out_ones_even_in_the_plural():
    rng = random.Random(0)
    made = [invented_name(rng.random) for _ in range(5_000)]
    assert len(set(made)) > 4_000
    taken = HELD_OUT_NAMES | HELD_OUT_WORDS | set(keyword.kwlist) | set(dir(builtins))
    assert not {form for name in made for form in (name, name + "s", name + "es")} & taken


def test_all_training_names_are_used_and_none_much_more_than_others(documents):
    text = re.findall(r"[a-z]+", "".join(documents))
    counts = Counter(text)
    uses = sorted(counts[name] for name in words.TRAIN_NAMES if name not in _IN_IDIOMS)
    assert uses[0] > 0
    assert uses[-1] < 5 * uses[len(uses) // 2]


# Nouns that the programs' own idioms use too.
_IN_IDIOMS = frozenset(("item", "line", "name", "number", "word", "file", "message", "title"))


def test_names_are_of_one_and_of_several_tokens_and_come_again_in_a_program(documents, shipped):
    names = [name for d in documents[:1000] for name in identifiers(d)]
    assert len(names) > 1.3 * sum(len(set(identifiers(d))) for d in documents[:1000])
    lengths = Counter(min(3, len(shipped.encode(" " + name))) for name in names)
    assert min(lengths[1], lengths[2], lengths[3]) > 0.15 * len(names)


@pytest.fixture(scope="module")
def shipped():
    return load_tokenizer("cache/models/starter")


def identifiers(program):
    return [n.id for n in ast.walk(ast.parse(program)) if isinstance(n, ast.Name)]


def test_an_attribute_is_as_often_set_first_from_the_last_argument_as_from_the_first(of_family):
    head = r"__init__\(self, (\w+)[^,)\n]*, (\w+)[^,)\n]*\):\n(?:.*\n)?? +self\.(\w+) = \3\n"
    heads = re.findall(head, of_family("copies"))
    kept = [(a, name) for a, b, name in heads if name in (a, b)]
    first = sum(a == name for a, name in kept) / len(kept)
    assert len(kept) > 100
    assert 0.4 < first < 0.6


def test_two_variables_change_places_in_either_order(of_family):
    made = re.findall(r"(\w+) = .*\n *(\w+) = .*\n *(\w+), (\w+) = \4, \3\n", of_family("swaps"))
    of_both = [(a, c) for a, b, c, d in made if {a, b} == {c, d}]
    assert len(of_both) > 100
    assert 0.4 < sum(a == c for a, c in of_both) / len(of_both) < 0.6


def test_how_a_gatherer_grows_follows_from_how_it_was_made(of_family):
    lines = of_family("gathering").splitlines()
    grown = {"set()": Counter(), "''": Counter(), '""': Counter()}
    for i, line in enumerate(lines):
        made = re.fullmatch(r" *(\w+)(?:: \w+)? = (set\(\)|''|\"\")", line)
        if made is None:
            continue
        use = re.compile(rf"^ *{made[1]}\b(\.add\(| \+= )?")
        uses = (match[1] for after in lines[i + 1 : i + 12] if (match := use.match(after)))
        grown[made[2]][next(uses, None)] += 1
    for start, right, wrong in (("set()", ".add(", " += "), ("''", " += ", ".add(")):
        assert grown[start][right] > 200
        assert grown[start][wrong] < 0.03 * grown[start][right]


def test_both_modes_are_as_frequent_wherever_the_telling_stem_stands(of_family):
    for place in (r"['\"](?:\w+/)?{}_\w+\.", r"['\"](?:\w+/)?[a-z_]+_{}\.", r"['\"]{}\."):
        found = {
            mode: sum(
                len(re.findall(r"open\(" + place.format(stem) + r"\w+['\"], ['\"]" + mode, text))
                for stem in stems
            )
            for text in [of_family("handles")]
            for mode, stems in (("r", words.READ_STEMS), ("w", words.WRITE_STEMS))
        }
        assert 0.8 < found["r"] / found["w"] < 1.25


@pytest.mark.parametrize(
    ("family", "one", "other"),
    [
        ("handles", r"with .*open\(.*\) as ", r"= .*open\(.*\)\n"),
        ("contrasts", r"[ (\[]f['\"]", r"[ (\[]['\"]\w+ \w+"),
        ("contrasts", r" if .* else ", r"\n *if .*:\n"),
        ("contrasts", r"lambda \w+: ", r"[ (\[]\w+\(\w+\)"),
        ("heads", r"while \w+:", r"for \w+ in "),
        ("heads", r"=None\)", r"def \w+\((?:\w+, )+\w+\):"),
    ],
)
def test_the_two_answers_of_a_question_are_both_frequent(family, one, other, of_family):
    text = of_family(family)
    a, b = len(re.findall(one, text)), len(re.findall(other, text))
    assert min(a, b) > 300
    assert max(a, b) < 4 * min(a, b)


def test_the_three_splits_of_names_words_and_verbs_share_nothing():
    pools = {
        split: {
            w for kind in ("NAMES", "WORDS", "VERBS") for w in getattr(words, f"{split}_{kind}")
        }
        for split in ("TRAIN", "VALIDATION", "TEST")
    }
    for a, b in combinations(pools.values(), 2):
        assert not a & b
    assert len(words.TRAIN_NAMES) > 400
    assert min(len(words.VALIDATION_NAMES), len(words.TEST_NAMES)) > 50


def test_no_name_is_a_keyword_or_builtin():
    names = {*words.TRAIN_NAMES, *HELD_OUT_NAMES, *words.TRAIN_VERBS}
    assert not [name for name in names if keyword.iskeyword(name) or hasattr(builtins, name)]


def test_programs_are_40_to_400_tokens_long(documents, tmp_path):
    write_bpe(train_bpe(documents[:2000]), tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    lengths = sorted(len(tokenizer.encode(document)) for document in documents)
    assert lengths[len(lengths) // 200] >= 40
    assert lengths[-len(lengths) // 200] <= 400
    assert 100 < lengths[len(lengths) // 2] < 220


def test_a_document_depends_on_seed_and_number_alone():
    series = list(generate_documents(5, 20))
    assert list(generate_documents(5, 4, start=13)) == series[13:17]
    assert list(generate_documents(6, 20)) != series


def test_a_program_is_made_by_the_generator_it_is_given():
    assert generate_program(random.Random(3)) == generate_program(random.Random(3))


def test_both_quotes_are_as_frequent_and_drawn_anew_for_each_literal(documents):
    openers = re.findall(r"\w\((['\"])[^'\"\n]*\1\)", "".join(documents))
    share = openers.count("'") / len(openers)
    assert 0.47 < share < 0.53
    same = sum(a == b for a, b in zip(openers, openers[1:], strict=False)) / (len(openers) - 1)
    assert 0.46 < same < 0.54


def test_lists_nest_up_to_three_deep_with_rows_of_unequal_length(documents):
    lists = [n for d in documents for n in ast.walk(ast.parse(d)) if isinstance(n, ast.List)]
    depths = {depth_of(node) for node in lists}
    assert depths >= {1, 2, 3}
    assert {len(node.elts) for node in lists} >= set(range(31))
    rows = [{len(r.elts) for r in n.elts if isinstance(r, ast.List)} for n in lists]
    assert sum(len(lengths) > 1 for lengths in rows) > 100


def test_a_list_of_lists_may_have_one_row():
    made = [ast.literal_eval(nested(Writer(random.Random(s)))) for s in range(300) if _plain(s)]
    assert 0.2 < sum(len(rows) == 1 for rows in made) / len(made) < 0.5


def _plain(seed):
    """Whether the nested list of this seed has no names in it."""
    tree = ast.parse(nested(Writer(random.Random(seed))))
    return not any(isinstance(node, ast.Name) for node in ast.walk(tree))


@pytest.mark.parametrize(
    ("idiom", "at_least"),
    [
        (r"\w\(\"[^\"\n]*\"\)\n", 1500),
        (r"\w\('[^'\n]*'\)\n", 1500),
        (r"def \w+\((\w+=None, )+\w+=None\):", 100),
        (r"def \w+\((\w+, )+\w+\):", 300),
        (r"(\w+) = set\(\)\n(.*\n)*?\s*\1\.add\(", 300),
        (r"(\w+) = (''|\"\")\n(.*\n)*?\s*\1 \+= ", 300),
        (r"current ?= ?set\(\)", 50),
        (r"current ?= ?(''|\"\")", 50),
        (r"self\.(\w+) = \1\n", 500),
        (r"with open\(.*\) as \w+:", 300),
        (r"\w = open\(.*\)\n", 100),
        (r"\{['\"]\w+['\"]: ", 300),
        (r"\[['\"]\w+['\"], ", 300),
        (r"=\[\[", 100),
        (r"=\[\d", 100),
        (r"\]\]\n", 300),
        (r"\[\[[^\[\]\n]*\]\]\n", 100),
        (r"for \w+ in ", 1000),
        (r"while \w+:", 100),
        (r"elif .*:\n", 300),
        (r"else:\n", 300),
        (r"f['\"][^'\"\n]*\{\w+\}", 300),
        (r" = .* if .* else .*\n", 300),
        (r"(\w+), (\w+) = \2, \1\n", 300),
        (r"lambda \w+: ", 200),
        (r"if \w+ == ", 500),
        (r"for \w+, \w+ in enumerate\(", 100),
        (r"for \w+ in range\(", 300),
        (r"if \w+ == (True|False):\n", 200),
        (r"\w = True\n", 300),
        (r"while True:\n", 100),
        (r"return True\n", 200),
        (r"try:\n", 100),
        (r"import \w+", 50),
        (r" for \w+ in [^\n]*\]\n", 50),
        (r'"""[^"\n]+\."""', 100),
    ],
)
def test_an_idiom_of_the_tasks_is_frequent(documents, idiom, at_least):
    assert sum(len(re.findall(idiom, document)) for document in documents) >= at_least


def test_the_mode_of_open_follows_from_the_file_name(documents):
    text = "".join(documents)
    modes = {"r": words.READ_STEMS, "w": words.WRITE_STEMS}
    opened = re.findall(r"open\(['\"]([\w/]+)\.\w+['\"], ['\"](\w)['\"]", text)
    assert {mode for _, mode in opened} == set(modes)
    for name, mode in opened:
        assert any(stem in name for stem in modes[mode]), (name, mode)


def test_a_swap_names_two_different_variables(documents):
    swaps = re.findall(r"^ *(\w+), (\w+) = \2, \1$", "".join(documents), re.MULTILINE)
    assert swaps
    assert all(a != b for a, b in swaps)


def test_a_family_can_be_the_only_one() -> None:
    assert all("open(" in only("files", 1, seed) for seed in range(20))


def test_an_unknown_family_of_templates_is_named() -> None:
    with pytest.raises(ValueError, match="No family of templates is called tables"):
        CorpusSettings(family_shares={"tables": 0.5})
