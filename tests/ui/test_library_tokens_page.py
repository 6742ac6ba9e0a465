"""The page of tokens without a browser: stored documents as the file holds them, own text live."""

import re
from html import unescape

import pytest
import torch

from circuit_sparsity.core.names import Node
from circuit_sparsity.experiment.opening import open_circuit, open_tokenizer
from circuit_sparsity.release import read_viz
from circuit_sparsity.runtime.activations import node_activations
from circuit_sparsity.store import Store
from circuit_sparsity.ui.shell.strips import live
from tests.ui.conftest import MODEL, QUERY, SWEEP, TASK, K

MINUS = "\N{MINUS SIGN}"


@pytest.fixture
def stored(cache):
    return read_viz(cache / "viz" / MODEL / TASK / SWEEP / K / "viz_data.pt")


@pytest.fixture
def node(stored):
    return stored.circuit.node_list[5]


@pytest.fixture
def open_tokens(open_app, node):
    return lambda **more: open_app("tokens", **(QUERY | {"node": str(node)} | more))


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


def captions(app):
    return [caption.value for caption in app.caption]


def test_stored_documents_are_shown_with_the_values_of_the_file(open_tokens, stored, node):
    extremes = stored.documents[node][0.001]
    shown = strips(open_tokens())
    docs = [*extremes.top, *extremes.bottom]
    assert len(shown) == len(docs) == 6
    for values, doc in zip(shown, docs, strict=True):
        assert values == pytest.approx(doc.activations.tolist(), abs=1e-4)


def test_stored_strips_are_labelled_stored(open_tokens):
    titles = [text for text in captions(open_tokens()) if text.startswith(("Highest", "Lowest"))]
    assert len(titles) == 6
    assert all("stored, whole model" in title for title in titles)


def test_another_quantile_shows_its_documents(open_tokens, stored, node):
    app = open_tokens()
    app.segmented_control(key="token_quantile").set_value("50%")
    app.run()
    expected = stored.documents[node][0.5].top[0].activations.tolist()
    assert strips(app)[0] == pytest.approx(expected, abs=1e-4)


def test_the_model_run_now_gives_what_is_stored(open_tokens):
    app = open_tokens()
    app.toggle(key="token_live").set_value(True)
    app.run()
    shown = strips(app)
    assert len(shown) == 12
    for stored, now in zip(shown[::2], shown[1::2], strict=True):
        assert now == pytest.approx(stored, abs=1e-2)  # stored as float16
    assert any("Largest difference" in text for text in captions(app))


def test_own_text_is_run_in_model_and_circuit_on_one_scale(open_tokens, node):
    app = open_tokens()
    app.segmented_control(key="token_source").set_value("Your text")
    app.run()
    app.text_area(key="token_text").set_value("x = [[1, 2")
    app.run()
    assert not app.exception
    experiment = open_circuit(MODEL, TASK, SWEEP, K)
    ids = open_tokenizer(Store.from_environment(), MODEL).encode("x = [[1, 2")
    whole = node_activations(experiment.model, [node], torch.tensor([list(ids)]))[node][0]
    model, circuit = strips(app)
    assert model == pytest.approx(whole.tolist(), abs=1e-4)
    assert model != pytest.approx(circuit, abs=1e-4)
    titles = [text.split(":")[0] for text in captions(app) if text.startswith("Live")]
    assert titles == ["Live, whole model", "Live, circuit alone"]


def test_hostile_text_is_text(open_tokens):
    app = open_tokens()
    app.segmented_control(key="token_source").set_value("Your text")
    app.run()
    text = "<script>alert('x')</script>\x1b[31m\u202e\"><img src=x>"
    app.text_area(key="token_text").set_value(text)
    app.run()
    pages = [html.proto.body for html in app.get("html")]
    assert not any("<script" in html or "<img" in html for html in pages)
    strip = next(html for html in pages if 'title="token' in html)
    letters = unescape("".join(re.findall(r">([^<]*)</span>", strip)))
    assert "<script>alert('x')</script>" in letters
    assert "\\x1b[31m\\u202e" in letters


def test_any_node_of_a_model_that_is_here_can_be_named(open_tokens, stored):
    other = next(
        node
        for c in range(64)
        if not stored.circuit.keeps(node := Node.parse(f"1.mlp.post_act:{c}"))
    )
    app = open_tokens(node=str(other))
    assert any("The circuit does not keep it" in text for text in captions(app))
    assert "holds no documents" in app.info[0].value
    found = live(open_circuit(MODEL, TASK, SWEEP, K), [1, 2, 3], other)
    assert [strip.title for strip in found] == ["Live, whole model"]


@pytest.mark.parametrize("name", ["9.mlp.post_act:1", "1.mlp.post_act:999999", "nonsense"])
def test_what_is_no_node_of_the_model_is_a_message(open_tokens, name):
    app = open_tokens(node=name)
    assert len(app.error) == 1
    assert name.split(":")[0].replace("_", "\\_") in app.error[0].value


def test_without_a_node_in_the_address_the_one_that_costs_most_is_shown(open_app, stored):
    app = open_app("tokens", **QUERY)
    costliest = max(stored.circuit.node_list, key=stored.node_delta)
    assert app.selectbox(key="node").value == str(costliest)


def test_the_numbers_stand_in_tables_too(open_tokens, stored, node):
    doc = stored.documents[node][0.001].top[0]
    frame = open_tokens().dataframe[0].value
    assert frame["Highest 1, stored, whole model"].tolist() == doc.activations.tolist()
