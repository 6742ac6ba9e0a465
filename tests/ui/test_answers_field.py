"""The two answers of a released circuit: shown with where they are from, and chosen by hand."""

import pytest

from circuit_sparsity.experiment.opening import open_circuit
from tests.ui.conftest import MODEL, QUERY, SWEEP, TASK, K

OTHER = ("[", "]")


def loss(app):
    return next(metric.value for metric in app.metric if metric.label == "Task loss, nats")


def in_use(app):
    said = next(part.value for part in app.caption if part.value.startswith("In use: "))
    return said.replace("\\", "")


def fill(app, first, second):
    for key, text in (("answer to class 1", first), ("answer to class 2", second)):
        app.text_input(key=key).set_value(text)
    next(button for button in app.button if button.label == "Use these").click()
    return app.run()


def test_answers_chosen_by_hand_give_the_loss_of_the_command_line(open_app):
    app = open_app(**QUERY)
    assert "the pair that gives the stored losses" in in_use(app)
    before = loss(app)
    fill(app, *OTHER)
    assert not app.exception
    assert "answers '[' and ']' (chosen)" in in_use(app)
    expected = open_circuit(MODEL, TASK, SWEEP, K, answers=OTHER).of_circuit.loss
    assert loss(app) == f"{expected:.4f}" != before
    assert app.query_params["answers"] == list(OTHER)
    next(button for button in app.button if button.label == "Back to the original answers").click()
    app.run()
    assert loss(app) == before
    assert "answers" not in app.query_params


def test_a_link_holds_them(open_app):
    assert "(chosen)" in in_use(open_app(**QUERY, answers=list(OTHER)))


@pytest.mark.parametrize(
    ("answers", "trouble"),
    [
        (["hello world", "3"], "the answer 'hello world' is"),
        (["3", "3"], "both answers are the token 3"),
        (["3"], "1 answers were given"),
    ],
)
def test_what_are_no_two_tokens_is_a_message_and_the_found_ones_stay(open_app, answers, trouble):
    app = open_app(**QUERY, answers=answers)
    assert any(trouble in error.value.replace("\\", "") for error in app.error)
    assert "(chosen)" not in in_use(app)
