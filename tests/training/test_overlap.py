"""What training's real source holds of test prompts: counted by hand, and as the docs say."""

import re
from pathlib import Path

import pytest

from circuit_sparsity.tasks import TASKS
from circuit_sparsity.tasks.words import TEST_NAMES, TEST_VERBS
from circuit_sparsity.training.overlap import of_structures, of_words, training_files, words_in

DOCS = Path(__file__).parent.parent.parent / "docs" / "MODELS.md"


def test_a_name_counts_as_an_identifier_a_part_of_one_and_a_word_of_a_string() -> None:
    first, second, third = TEST_NAMES[:3]
    text = f"my_{first} = {second.title()}Maker()  # the {third}\nx = 'other'\n"
    assert {first, second, third} <= words_in(text)
    names, _, verbs = of_words([text, "y = 1\n"])
    assert (names.occur, names.of, names.files) == (3, len(TEST_NAMES), 1)
    assert (verbs.occur, verbs.of, verbs.files) == (0, len(TEST_VERBS), 0)


def test_a_structure_counts_for_its_own_task_and_a_file_that_is_no_python_holds_none() -> None:
    (example,) = TASKS["for_while"].examples("test", 1, templates="novel")
    found = {one.what: one for one in of_structures(["def (:\n", "x = 1\n"])}
    assert not any(one.occur or one.files for one in found.values())
    found = {one.what: one for one in of_structures([example.programs[0]])}
    assert (found["for_while"].occur, found["for_while"].files) == (1, 1)


@pytest.fixture(scope="module")
def documented() -> dict[str, float]:
    rows = re.findall(r"^\| (\w+) \| (\d+) of (\d+) \| \d+ \|$", DOCS.read_text(), re.MULTILINE)
    return {what: int(occur) / int(of) for what, occur, of in rows}


def test_the_docs_say_what_the_running_librarys_files_hold(documented) -> None:
    files = training_files()
    names, structures = of_words(files), of_structures(files[::10])
    assert set(documented) == {one.what for one in (*names, *structures)}
    for one in names:
        assert one.share == pytest.approx(documented[one.what], abs=0.1)  # other Pythons differ
    for one in structures:  # of a tenth of the files
        assert one.share <= documented[one.what] + 0.15
