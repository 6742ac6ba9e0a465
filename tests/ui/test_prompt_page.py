"""The prompt page without a browser: one's own text or a pair, too long a text, none."""

import re
import time

import pytest

from circuit_sparsity.experiment.opening import open_circuit, open_tokenizer
from circuit_sparsity.nodes.active import most_active, usual
from circuit_sparsity.nodes.generation import continued
from circuit_sparsity.nodes.next_token import next_token
from circuit_sparsity.nodes.reading import Reader, divergences, parting
from circuit_sparsity.store import Store
from circuit_sparsity.tasks.alignment import align
from tests.ui.conftest import MODEL, QUERY, SWEEP, TASK, K

TEXT = "x = [[1, 2, 3"


@pytest.fixture
def open_prompt(open_page):
    return lambda **more: open_page("prompt", **QUERY, **more)


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


def strips(app):
    """The values in the boxes' titles, strip by strip; the tokens' own strips have none."""
    found = [
        re.findall(r'title="tokens? [^"]*?: ([^"]*)"', html.proto.body) for html in app.get("html")
    ]
    return [
        [float(v.replace("\N{MINUS SIGN}", "-")) for title in boxes for v in title.split(", ")]
        for boxes in found
        if boxes
    ]


def encoded(text=TEXT):
    return open_tokenizer(Store.from_environment(), MODEL).encode(text)


def read(experiment, text=TEXT, nodes=()):
    it = experiment
    return [
        Reader(it.model, circuit, it.means).read(encoded(text), nodes)
        for circuit in (None, it.circuit)
    ]


def test_the_loss_of_every_token_stands_beside_how_far_the_circuit_is_from_the_model(
    open_prompt, experiment
):
    app = open_prompt(prompt=TEXT, look="Token by token")
    model, circuit = read(experiment)
    of_model, of_circuit, apart = strips(app)
    assert of_model[1:] == pytest.approx(model.losses.tolist(), abs=1e-4)
    assert of_circuit[1:] == pytest.approx(circuit.losses.tolist(), abs=1e-4)
    assert apart[1:] == pytest.approx(divergences(model, circuit)[:-1].tolist(), abs=1e-4)
    found = parting(model, circuit)
    told = (text.value for text in app.markdown)
    words = next(text for text in told if "disagrees with the whole model" in text)
    assert f"{found.divergence:.3f} nats" in words
    assert found.first is None or f"first after token {found.first + 1}," in words


def test_a_token_leads_to_its_nodes_and_a_node_to_its_tokens(open_prompt, experiment):
    app = open_prompt(prompt=TEXT, look="Nodes", at="2")
    nodes = experiment.circuit.node_list
    (model, _) = read(experiment, nodes=nodes)
    expected = most_active(model, 1, usual(experiment, nodes), 15)
    frame = app.dataframe[0].value
    assert frame["node"].tolist() == [str(one.node) for one in expected]
    assert frame["activation"].tolist() == pytest.approx([one.activation for one in expected])
    node = expected[0].node
    app.selectbox(key="node_of_tokens").set_value(str(node)).run()
    assert strips(app)[0] == pytest.approx(model.activations[node].tolist(), abs=1e-4)
    assert app.query_params["node"] == str(node)
    assert app.query_params["at"] == "2"


def test_a_minimal_pair_is_read_text_by_text_and_set_against_each_other(open_prompt, experiment):
    other = "x = [1, 2, 3"
    pair = {"texts": "Minimal pair", "prompt": TEXT, "other": other}
    app = open_prompt(**pair)
    assert len(app.metric) == 4
    last = app.dataframe[-1].value
    shares = [next_token(experiment.model, encoded(text)) for text in (TEXT, other)]
    answers = (int(experiment.batch.right[0]), int(experiment.batch.wrong[0]))
    chances = [share.against(*sorted(answers)) for share in shares]
    assert last.iloc[0, 1:3].tolist() == pytest.approx(chances, abs=1e-5)
    assert last["difference"].iloc[0] == pytest.approx(chances[0] - chances[1], abs=1e-5)
    app.segmented_control(key="look").set_value("Nodes").run()
    assert not app.exception
    places = align(encoded(TEXT), encoded(other))
    assert any(f"{len(places.both)} tokens" in text.value for text in app.caption)
    first, second, apart = strips(app)
    both = [first[i] - second[j] for i, j in places.both]
    assert apart == pytest.approx(both, abs=2e-4)


def test_each_goes_on_greedily_after_a_click(open_prompt, experiment):
    app = open_prompt(prompt=TEXT, look="Continue it")
    app.button(key="continue").click().run()
    deadline = time.monotonic() + 240
    while len(strips(app)) < 2 or len(strips(app)[-1]) < 20:
        assert time.monotonic() < deadline
        time.sleep(0.5)
        app.run()
        assert not app.exception
    it = experiment
    for shown, circuit in zip(strips(app), (None, it.circuit), strict=True):
        found = continued(Reader(it.model, circuit, it.means), encoded(), 20)
        assert shown == pytest.approx(found.probabilities, abs=1e-4)


def test_an_ablated_circuit_is_a_third_column(open_prompt, experiment):
    app = open_prompt()
    node = str(experiment.circuit.node_list[0])
    app.multiselect(key="nodes").select(node).run()
    assert len(app.dataframe) == 3
    assert any("Circuit without" in text.value for text in app.markdown)


def test_a_scaled_node_is_scaled_here_too(open_prompt, experiment):
    node = experiment.circuit.node_list[0]
    app = open_prompt(nodes=str(node), how=f"{node}*3")
    assert any(f"with {node} scaled by 3" in text.value.replace("\\", "") for text in app.markdown)


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
