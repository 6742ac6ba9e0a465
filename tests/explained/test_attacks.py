"""Attacks: prompts hold what they say, and curves are those of the plain runs."""

import ast
import dataclasses
import threading

import pytest

from circuit_sparsity.experiment.experiment import Cancelled
from circuit_sparsity.experiment.opening import open_circuit, open_tokenizer
from circuit_sparsity.explained.attack import ATTACKS, Attack, attack_curve
from circuit_sparsity.plots.colours import LIGHT
from circuit_sparsity.plots.curves import attack_figure
from circuit_sparsity.store import Store
from circuit_sparsity.tasks.attacks import brackets_in_comments, longer_lists, marks_in_strings
from circuit_sparsity.tasks.task import encode, task_context


def prompts(pairs):
    return [prompt for pair in pairs for prompt in (pair.positive, pair.negative)]


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=lambda attack: attack.name)
def test_every_prompt_of_an_attack_goes_on_as_python_and_is_seeded(attack: Attack):
    for strength in attack.strengths:
        pairs = attack.pairs(strength, 4, 3)
        assert pairs == attack.pairs(strength, 4, 3)
        for prompt in prompts(pairs):
            ast.parse(prompt.text + prompt.right)
            with pytest.raises(SyntaxError):
                ast.parse(prompt.text + prompt.wrong)


def test_lists_have_as_many_elements_as_asked_for():
    for pair in longer_lists(17, 5):
        value = ast.parse(pair.negative.text + pair.negative.right).body[0].body[0].value
        assert len(value.elts) == 17


def test_a_comment_opens_as_many_brackets_as_asked_for():
    for prompt in prompts(brackets_in_comments(6, 5)):
        comment = prompt.text.splitlines()[0]
        assert comment.startswith("#")
        assert comment.count("[") == 6
        assert "]" not in comment


def test_the_string_holds_the_other_mark_as_often_as_asked_for():
    for prompt in prompts(marks_in_strings(3, 5)):
        string = prompt.text[prompt.text.index("print(") + 6 :]
        other = {"'": '"', '"': "'"}[string[0]]
        assert string.count(other) == 3
        assert string.count(string[0]) == 1


@pytest.mark.parametrize(
    ("make", "strength"), [(longer_lists, 0), (brackets_in_comments, -1), (marks_in_strings, -1)]
)
def test_impossible_strengths_are_refused(make, strength):
    with pytest.raises(ValueError, match=str(strength)):
        make(strength, 2)


@pytest.fixture(scope="module")
def brackets():
    store = Store.from_environment()
    opened = open_circuit("starter", "bracket_counting", "full", "k49_seed0_full", store)
    return opened, open_tokenizer(store, "starter")


def test_a_curve_is_what_the_circuit_and_the_model_answer(brackets):
    opened, tokenizer = brackets
    attack = ATTACKS["longer lists"]
    (point,) = attack_curve(opened, tokenizer, attack, strengths=(5,), pairs=4)
    batch = encode(longer_lists(5, 4), tokenizer, task_context(opened.model.config.block_size))
    there = dataclasses.replace(opened, batch=batch)
    masked = there.run(there.alive)  # the masked full model, not the compiled circuit
    p = (-masked.losses).exp()
    assert point.circuit.positive == pytest.approx(float(p[:4].mean()), abs=1e-4)
    assert point.circuit.negative == pytest.approx(float(p[4:].mean()), abs=1e-4)
    assert point.model.positive == pytest.approx(
        float((-there.of_model.losses).exp()[:4].mean()), abs=1e-5
    )
    assert point.prompts == 8


def test_a_curve_ends_where_the_context_does(brackets):
    opened, tokenizer = brackets
    curve = attack_curve(opened, tokenizer, ATTACKS["longer lists"], strengths=(3, 500), pairs=2)
    assert [point.strength for point in curve] == [3]


def test_a_curve_can_be_stopped_and_wants_its_own_task(brackets):
    opened, tokenizer = brackets
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled, match="0 of 1"):
        attack_curve(opened, tokenizer, ATTACKS["longer lists"], (3,), 2, cancel=cancel)
    with pytest.raises(ValueError, match="single_double_quote"):
        attack_curve(opened, tokenizer, ATTACKS["the other mark inside"])


def test_the_figure_draws_what_was_measured(brackets):
    opened, tokenizer = brackets
    attack = ATTACKS["brackets in a comment"]
    curve = attack_curve(opened, tokenizer, attack, strengths=(0, 2), pairs=2)
    figure = attack_figure(attack, curve, LIGHT)
    drawn = {trace.name: list(trace.y) for trace in figure.data}
    assert drawn["circuit, flat: `]`"] == [point.circuit.negative for point in curve]
    assert list(figure.data[0].x) == [0, 2]
