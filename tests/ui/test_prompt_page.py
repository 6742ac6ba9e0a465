"""The prompt page without a browser: one's own text, too long a text, none."""

import pytest

from circuit_sparsity.circuits.next_token import next_token
from circuit_sparsity.opening import open_circuit, open_tokenizer
from circuit_sparsity.store import Store
from tests.ui.conftest import MODEL, QUERY, SWEEP, TASK, K

TEXT = "x = [[1, 2, 3"


@pytest.fixture
def open_prompt(open_app):
    return lambda **more: open_app("prompt", **QUERY, **more)


@pytest.fixture
def experiment(cache):
    return open_circuit(MODEL, TASK, SWEEP, K)


def write(app, text):
    app.text_area(key="prompt").set_value(text).run()
    assert not app.exception
    return app


def test_it_begins_with_a_prompt_of_the_task(open_prompt):
    app = open_prompt()
    assert app.text_area(key="prompt").value
    assert [m.label for m in app.metric] == ["Two-way answer", "Two-way answer"]


def test_model_and_circuit_stand_side_by_side_with_their_likeliest_tokens(open_prompt, experiment):
    app = write(open_prompt(), TEXT)
    tokenizer = open_tokenizer(Store.from_environment(), MODEL)
    tokens = tokenizer.encode(TEXT)
    whole = next_token(experiment.model, tokens)
    circuit = next_token(experiment.model, tokens, experiment.alive, experiment.means)
    for frame, expected in zip(app.dataframe, (whole, circuit), strict=True):
        shown = frame.value["probability"].tolist()
        assert shown == pytest.approx([p for _, p in expected.top(8)], abs=1e-5)
        assert shown == sorted(shown, reverse=True)


def test_the_two_way_answer_is_between_the_tasks_answers_alone(open_prompt, experiment):
    app = write(open_prompt(), TEXT)
    tokens = open_tokenizer(Store.from_environment(), MODEL).encode(TEXT)
    pair = (int(experiment.batch.right[0]), int(experiment.batch.wrong[0]))
    share = next_token(experiment.model, tokens).against(*pair)
    assert app.metric[0].value.endswith(f"{max(share, 1 - share):.1%}")


def test_an_ablated_circuit_is_a_third_column(open_prompt, experiment):
    app = open_prompt()
    node = str(experiment.circuit.node_list[0])
    app.multiselect(key="nodes").select(node).run()
    assert len(app.dataframe) == 3
    assert any("Circuit without" in text.value for text in app.markdown)


def test_too_long_a_prompt_offers_the_cut_and_runs_only_then(open_prompt, experiment):
    context = experiment.model.config.block_size
    app = write(open_prompt(), "0 " * (context + 20))
    assert f"reads at most {context}" in app.warning[0].value
    assert not app.metric
    app.checkbox[0].check().run()
    assert len(app.metric) == 2
    assert any("cut away" in caption.value for caption in app.caption)


def test_an_empty_prompt_asks_for_text(open_prompt):
    app = write(open_prompt(), "")
    assert "Type the beginning" in app.info[0].value
    assert not app.metric


def test_markup_in_a_prompt_is_shown_as_text(open_prompt):
    app = write(open_prompt(), "<script>alert(1)</script>")
    shown = " ".join(element.value for element in app.get("html") if hasattr(element, "value"))
    assert "<script>" not in shown


def test_examples_fill_the_field(open_prompt):
    app = write(open_prompt(), "x")
    app.button[0].click().run()
    first = app.text_area(key="prompt").value
    app.button[1].click().run()
    assert first != app.text_area(key="prompt").value
    assert len(app.text_area(key="prompt").value) > 3
