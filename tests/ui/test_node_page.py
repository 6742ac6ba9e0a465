"""The node page without a browser: card, live activations, weights, head, vocabulary, labels."""

import re
import time

import pytest
import torch

from circuit_sparsity.circuits.wiring import wiring
from circuit_sparsity.core.names import Node
from circuit_sparsity.experiment.labels import Labels, read_labels, write_labels
from circuit_sparsity.experiment.opening import open_circuit, open_tokenizer
from circuit_sparsity.nodes.vocabulary import direct_effect
from circuit_sparsity.nodes.weights import into
from circuit_sparsity.runtime.activations import node_activations
from circuit_sparsity.store import Store
from circuit_sparsity.tasks.alignment import align
from tests.ui.conftest import MODEL, QUERY, SWEEP, TASK, K

MINUS = "\N{MINUS SIGN}"
HOSTILE = "<img src=x onerror=alert(1)> **bold** [link](http://x) `code`"


@pytest.fixture
def experiment(cache):
    return open_circuit(MODEL, TASK, SWEEP, K)


@pytest.fixture
def neuron(experiment):
    """The one whose ablation does most."""
    neurons = [n for n in experiment.circuit.node_list if n.location.kind == "post_act"]
    effects = experiment.ablate_each(neurons)
    return max(zip(effects, neurons, strict=True), key=lambda both: abs(both[0].delta))[1]


@pytest.fixture
def open_node(open_page):
    return lambda node, **more: open_page("node", **(QUERY | {"node": str(node)} | more))


def strips(app):
    """The values in the boxes' titles, strip by strip."""
    found = [
        re.findall(r'title="tokens? [^"]*?: ([^"]*)"', html.proto.body) for html in app.get("html")
    ]
    return [
        [float(value.replace(MINUS, "-")) for title in boxes for value in title.split(", ")]
        for boxes in found
        if boxes
    ]


def said(app):
    """All Markdown of the page, what `plain` escaped as it reads."""
    return " ".join(re.sub(r"\\(.)", r"\1", text.value) for text in app.markdown)


def test_the_card_holds_the_cost_that_the_library_gives(open_node, experiment, neuron):
    effect = experiment.ablate([neuron])
    words = said(open_node(neuron))
    delta = f"{'+' if effect.delta > 0 else MINUS}{abs(effect.delta):.4f}"
    assert f"Ablated alone: {delta} nats a sequence" in words
    assert f"{effect.before.loss:.4f} to {effect.after.loss:.4f}" in words
    strongest = wiring(experiment.circuit, experiment.model).into(neuron)[0]
    assert str(strongest.node) in words


def test_a_pair_is_run_now_class_by_class_and_their_difference_on_one_scale(
    open_node, experiment, neuron
):
    app = open_node(neuron, pair="2")
    batch = experiment.batch
    rows = [1, 1 + batch.n_pairs]
    values = node_activations(experiment.model, [neuron], batch.tokens[rows])[neuron]
    ends = [int(batch.last[row]) + 1 for row in rows]
    one, two, *apart = strips(app)
    assert one == pytest.approx(values[0, : ends[0]].tolist(), abs=1e-4)
    assert two == pytest.approx(values[1, : ends[1]].tolist(), abs=1e-4)
    ids = [batch.tokens[row, :end].tolist() for row, end in zip(rows, ends, strict=True)]
    both = [one[i] - two[j] for i, j in align(*ids).both]
    assert apart == ([pytest.approx(both, abs=2e-4)] if both else [])
    assert any("all 8 prompts, whole model: exactly zero" in text.value for text in app.caption)


def test_the_circuit_alone_is_another_run(open_node, experiment, neuron):
    app = open_node(neuron, run="Circuit alone")
    found = experiment.activations(experiment.alive)[str(neuron.location)][0, :, neuron.channel]
    end = int(experiment.batch.last[0]) + 1
    assert strips(app)[0] == pytest.approx(found[:end].tolist(), abs=1e-4)


def test_own_text_is_run_in_model_and_circuit(open_node, experiment, neuron):
    app = open_node(neuron, on="Your text", prompt="x = [[1, 2")
    ids = open_tokenizer(Store.from_environment(), MODEL).encode("x = [[1, 2")
    whole = node_activations(experiment.model, [neuron], torch.tensor([list(ids)]))[neuron][0]
    model, circuit = strips(app)
    assert model == pytest.approx(whole.tolist(), abs=1e-4)
    assert len(circuit) == len(model)


def test_held_out_text_is_measured_on_a_click_and_kept(own_cache, open_node, neuron, monkeypatch):
    monkeypatch.setattr("circuit_sparsity.nodes.heldout.WINDOWS", 4)
    monkeypatch.setattr("circuit_sparsity.nodes.heldout.held_out_text.__defaults__", (16,))
    app = open_node(neuron, on="Held-out text")
    assert "Not measured yet" in app.info[0].value
    app.button(key="measure_held_out").click().run()
    deadline = time.monotonic() + 240
    while not strips(app) and time.monotonic() < deadline:
        time.sleep(0.5)
        app.run()
        assert not app.exception
        assert not app.error, app.error
    assert len(strips(app)) == 6
    assert any("standard library" in text.value for text in app.caption)
    assert "standard library" in said(app)  # the card speaks of that text too
    app.segmented_control(key="quantile").set_value("50%").run()
    assert not app.exception
    again = open_node(neuron, on="Held-out text")
    assert len(strips(again)) == 6


def test_weights_are_listed_signed_and_lead_to_their_nodes(open_node, experiment, neuron):
    app = open_node(neuron, view="Weights")
    near = next(n for n in into(experiment.model, neuron) if experiment.circuit.keeps(n.node))
    frames = [frame.value for frame in app.dataframe]
    assert frames[0]["weight"].tolist() == [n.weight for n in into(experiment.model, neuron)]
    app.button(key=f"Into it {near.node} weight").click().run()
    assert app.selectbox(key="shown_node").value == str(near.node)
    assert app.query_params["node"] == str(near.node)
    assert not app.exception


def test_a_write_shows_the_tokens_it_raises_and_what_is_left_out(open_node, experiment):
    node = next(n for n in experiment.circuit.node_list if n.location.kind == "resid_delta")
    app = open_node(node, view="Vocabulary")
    effect = direct_effect(experiment.model, node)
    assert effect is not None
    shown = app.dataframe[0].value["adds to its logit, per unit"].tolist()
    assert shown == pytest.approx(effect.sort(descending=True).values[:12].tolist())
    assert any("Left out: the last norm's division" in text.value for text in app.caption)


def test_a_read_has_no_direct_effect_and_the_page_says_so(open_node, experiment):
    node = next(n for n in experiment.circuit.node_list if n.location.kind == "act_in")
    app = open_node(node, view="Vocabulary")
    assert "no direct effect" in app.info[0].value


@pytest.mark.parametrize("kind", ["q", "v"])
def test_a_node_of_a_head_shows_its_attention_model_beside_circuit(open_node, kind):
    app = open_node(Node.parse(f"1.attn.{kind}:3"), view="Attention")
    titles = [text.value for text in app.markdown if text.value.startswith("#####")]
    assert titles == ["##### Whole model, live", "##### Circuit alone, live"]


def test_a_node_that_is_in_no_head_offers_no_attention(open_node, neuron):
    app = open_node(neuron, view="Attention")
    assert app.segmented_control(key="view").options == ["Activations", "Weights", "Vocabulary"]
    assert strips(app)


def test_the_page_follows_a_pick_of_the_circuit_page_and_then_the_field(open_page, experiment):
    one, two = experiment.circuit.node_list[:2]
    app = open_page("node", **QUERY, nodes=[str(two)])
    assert app.selectbox(key="shown_node").value == str(two)
    app.selectbox(key="shown_node").set_value(str(one)).run()
    assert app.query_params["node"] == str(one)
    assert app.selectbox(key="shown_node").value == str(one)


def test_a_label_is_kept_escaped_and_shown_wherever_the_node_is_named(
    own_cache, open_node, experiment, neuron
):
    app = open_node(neuron, view="Weights")
    field = next(field for field in app.text_input if field.label == "Your label")
    field.set_value(HOSTILE).run()
    assert not app.exception
    store = Store.from_environment()
    assert read_labels(store, experiment.circuit).of(neuron) == HOSTILE
    pages = [html.proto.body for html in app.get("html")]
    assert not any("<img" in page for page in pages)
    assert any("\\<img" in text.value and "\\*\\*bold" in text.value for text in app.markdown)
    near = into(experiment.model, neuron)[0].node
    if experiment.circuit.keeps(near):
        other = open_node(near, view="Weights")
        labels = [label for f in other.dataframe for label in f.value["your label"] if label]
        assert labels == [HOSTILE]
        assert HOSTILE.split()[0] in said(other)


def test_a_damaged_file_of_labels_is_a_message_and_the_page_goes_on(
    own_cache, open_node, experiment, neuron
):
    path = write_labels(Labels({neuron: "x"}), Store.from_environment(), experiment.circuit)
    path.write_text("[")
    app = open_node(neuron)
    assert "cannot be read" in app.error[0].value
    assert strips(app)


def test_any_node_of_the_model_can_be_named(open_node, experiment):
    other = next(
        node
        for channel in range(64)
        if not experiment.circuit.keeps(node := Node.parse(f"1.mlp.post_act:{channel}"))
    )
    words = said(open_node(other))
    assert "The circuit does not keep it" in words
    effect = experiment.add_each([other])[0]
    assert f"{effect.before.loss:.4f} to {effect.after.loss:.4f}" in words


@pytest.mark.parametrize("name", ["9.mlp.post_act:1", "1.mlp.post_act:999999", "nonsense"])
def test_what_is_no_node_of_the_model_is_a_message(open_node, name):
    app = open_node(name)
    assert len(app.error) == 1
    assert name.split(":")[0].replace("_", "\\_") in app.error[0].value
