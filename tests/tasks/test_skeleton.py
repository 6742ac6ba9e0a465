"""Shapes of lines, and the structures kept out of training text."""

import pytest

from circuit_sparsity.tasks import TASKS
from circuit_sparsity.tasks.novel import Shapes, beginning, lines_of, novel_shapes, shapes


@pytest.mark.parametrize(
    ("code", "shape"),
    [
        ("x = 3\n", "N = 0"),
        ("values = [5, 3, 11]\n", "N = [ 0 ]"),
        ("values = [price, 3]\n", "N = [ 0 ]"),
        ("values = [[5, 3], [1], [2, 2]]\n", "N = [ [ 0 ] ]"),
        ("print(f'{x} y', 'z')\n", "print ( S )"),
        ("first = rows[index]\n", "N = N [ N ]"),
        ("f(a, b, c, d)\n", "N ( N , N )"),
        ("while True:  # why\n    pass\n", "while True :"),
    ],
)
def test_a_shape_by_hand(code, shape):
    assert lines_of(code)[0].shape == shape


def test_depth_is_that_of_the_blocks():
    lines = lines_of("def f():\n    if x:\n        y()\n\n    # no line\n    return 1\nz = 2\n")
    assert [line.depth for line in lines] == [0, 1, 2, 1, 0]


def test_a_line_over_several_rows_is_one_line():
    lines = lines_of("x = [\n    1,\n    2,\n]\ny = 3\n")
    assert [line.shape for line in lines] == ["N = [ 0 , ]", "N = 0"]


def test_the_beginning_of_a_program_is_what_starts_before_the_cut():
    program = "if x:\n    y = call(1, z)\n"
    before, last = beginning(program, program.index("1") + 2)
    assert (before.shape, before.depth) == ("if N :", 0)
    assert (last.shape, last.depth) == ("N = N ( 0", 1)


def test_a_shape_of_one_line_is_found_after_any_line():
    found = shapes([("yield f('a')\n", 9, 1)])
    assert found.found_in("def g():\n    x = 1\n    yield h('b') + 2\n") == "yield N ( S ) + 0"
    assert found.found_in("def g():\n    yield h\n") is None


def test_a_shape_of_two_lines_needs_both_and_their_indentation():
    found = shapes([("assert x\nfor i in y:\n    pass\n", 17, 2)])
    assert found == Shapes(frozenset(), frozenset({("assert N", 0, "for N in")}))
    assert found.found_in("assert z\nfor k in range(3):\n    pass\n") is not None
    assert found.found_in("x = 1\nfor k in range(3):\n    pass\n") is None
    assert found.found_in("if x:\n    assert z\nfor k in w:\n    pass\n") is None


def test_text_that_is_no_python_is_an_error():
    with pytest.raises(ValueError, match="no Python program"):
        lines_of("x = (1\n")


def test_a_beginning_ends_where_a_token_ends():
    found = shapes([("x = i\n", 5, 1)])
    assert found.found_in("x = island\n") is not None
    assert shapes([("return\n", 6, 1)]).found_in("returned = 1\n") is None


@pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
def test_novel_prompts_are_found_and_familiar_ones_are_not(task):
    for example in task.examples("test", 60):
        for program in example.programs:
            assert novel_shapes().found_in(program) is not None
    for split in ("prune", "validation"):
        for example in task.examples(split, 100):
            for program in example.programs:
                found = novel_shapes().found_in(program)
                assert bool(found) == bool(example.template.novel), (program, found)
