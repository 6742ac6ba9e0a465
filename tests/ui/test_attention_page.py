"""The page of attention without a browser: a head live in model and circuit, and its links."""

import pytest
import torch

from circuit_sparsity.experiment.opening import open_circuit, open_tokenizer
from circuit_sparsity.nodes.head import run_head
from circuit_sparsity.store import Store
from tests.ui.conftest import MODEL, QUERY, SWEEP, TASK, K

TEXT = "x = [[1, <script>"


@pytest.fixture
def experiment(cache):
    return open_circuit(MODEL, TASK, SWEEP, K)


def test_the_pattern_is_the_models_with_the_sink_in_front(open_app, experiment):
    app = open_app("attention", **QUERY, head="layer 2, head 1", prompt=TEXT)
    assert not app.error
    tokens = open_tokenizer(Store.from_environment(), MODEL).encode(TEXT)
    head = run_head(experiment.model, tokens, 2, 1)
    shown = app.dataframe[0].value
    assert shown["sink"].tolist() == pytest.approx(head.sink.tolist(), abs=1e-5)
    rows = torch.tensor(shown.drop(columns="sink").to_numpy())
    torch.testing.assert_close(rows, head.pattern, equal_nan=True, atol=1e-5, rtol=0)
    assert len(app.dataframe) == 2


def test_a_picked_key_opens_its_head_and_channel(open_app, experiment):
    node = next(n for n in experiment.circuit.node_list if n.location.kind == "k")
    d = experiment.model.config.d_head
    app = open_app("attention", **QUERY, nodes=[str(node)])
    assert app.selectbox(key="head").value == (
        f"layer {node.location.layer}, head {node.channel // d}"
    )
    assert app.selectbox(key="channel").value == str(node.channel % d)


@pytest.mark.parametrize("show", ["Score of a channel", "Value of a channel"])
def test_a_channels_part_is_on_the_address(open_app, experiment, show):
    app = open_app(
        "attention", **QUERY, head="layer 1, head 0", show=show, channel="3", prompt=TEXT
    )
    tokens = open_tokenizer(Store.from_environment(), MODEL).encode(TEXT)
    head = run_head(experiment.model, tokens, 1, 0)
    expected = head.score_of(3) if show.startswith("Score") else head.value_of(3)
    rows = torch.tensor(app.dataframe[0].value.to_numpy())
    torch.testing.assert_close(rows, expected, equal_nan=True, atol=1e-5, rtol=0)


def test_a_link_to_no_head_opens_one_that_is_there(open_app):
    app = open_app("attention", **QUERY, head="layer 99, head 1", show="x", channel="nonsense")
    assert not app.error
    assert len(app.dataframe) == 2
