"""The page of bridges without a browser: a model bridged to itself, where all must agree."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Metric

from circuit_sparsity.bridges.bridge import Bridges, Pairing, set_bridge
from circuit_sparsity.bridges.files import FILE, StoredBridges, write_bridges
from circuit_sparsity.core.tokenizer import load_tokenizer
from circuit_sparsity.runtime.assemble import load_model
from circuit_sparsity.ui.bridges import edit, effects
from circuit_sparsity.ui.shell.jobs import jobs
from tests.ui.conftest import MODEL, QUERY


@pytest.fixture
def bridged(own_cache: Path) -> Path:
    """The fixture's model with bridges to itself that change nothing."""
    config = load_model(own_cache / "models" / MODEL).config
    width = config.d_model
    made = Bridges(Pairing.of(config, config), width, width, width)
    same = torch.eye(width), torch.zeros(width)
    for bridge in made:
        set_bridge(bridge, same, same)
    tokenizer = load_tokenizer(own_cache / "tinypython").fingerprint
    path = own_cache / "models" / MODEL / FILE
    return write_bridges(StoredBridges(made, MODEL, MODEL, tokenizer), path)


@pytest.fixture(autouse=True)
def no_job_is_left() -> Iterator[None]:
    yield
    for job in jobs().all((edit.KIND, effects.KIND)):
        job.stop()
        end = time.monotonic() + 60
        while job.active:
            assert time.monotonic() < end, "a job did not end"
            time.sleep(0.02)
        jobs().forget(job.key)


def said(app: AppTest) -> str:
    kinds = (app.markdown, app.caption, app.info, app.warning, app.error)
    return "\n".join(part.value for kind in kinds for part in kind).replace("\\", "")


def before_and_after(metric: Metric) -> list[float]:
    return [float(number) for number in metric.value.split(" → ")]


def test_without_bridges_it_says_what_they_are_and_how_to_train_some(open_page, cache):
    app = open_page("bridges", **QUERY)
    assert f"No bridges from {MODEL} are on this machine" in said(app)
    assert f"bridge-train {MODEL} DENSE" in said(app)


def test_an_edit_does_the_same_in_a_model_bridged_to_itself(open_page, own_cache, bridged):
    app = open_page("bridges", **QUERY, bridge_gains="true")
    sparse, dense = map(before_and_after, app.metric)
    assert sparse == pytest.approx(dense, abs=2e-3)
    assert abs(sparse[1] - sparse[0]) > 0.01
    app.slider(key="bridge_strength").set_value(0.0).run()
    assert not app.exception
    for metric in app.metric:
        before, after = before_and_after(metric)
        assert after == pytest.approx(before, abs=2e-3)
    assert app.multiselect(key="bridge_nodes").value  # the read that costs most, to begin with


def test_a_link_names_nodes_and_edit(open_page, own_cache, bridged):
    first = "0.attn.act_in:0"
    app = open_page("bridges", **QUERY, bridge_nodes=[first, "9.mlp.q:1"], bridge_edit="Its mean")
    assert "9.mlp.q:1: not a node of this circuit" in said(app)
    assert "Zero" in app.segmented_control(key="bridge_edit").options
    assert app.segmented_control(key="bridge_edit").value == "Its mean"


def test_every_node_has_the_same_effect_in_both(open_page, own_cache, bridged):
    app = open_page("bridges", **QUERY, bridge="Every node")
    next(b for b in app.button if b.label.startswith("Switch off each of")).click().run()
    jobs().all((effects.KIND,))[-1].result()
    app.run()
    assert not app.exception
    assert "Rank correlation of the two effects 1.00" in said(app)
    frame = app.dataframe[0].value
    assert frame["sparse, nats"].tolist() == pytest.approx(frame["dense, nats"].tolist(), abs=1e-5)


def test_a_hybrid_of_a_model_with_itself_reads_like_it(open_page, own_cache, bridged):
    app = open_page("bridges", **QUERY, bridge="Hybrids")
    frame = app.dataframe[0].value
    assert frame["Sparse model"].tolist() == frame["Dense, then sparse"].tolist()
    assert frame["Dense model"].tolist() == frame["Sparse, then dense"].tolist()


def test_without_a_card_it_names_the_command(open_page, own_cache, bridged):
    app = open_page("bridges", **QUERY, bridge="How good they are")
    assert f"bridge-evaluate {MODEL} {MODEL}" in said(app)


def evaluation(nmse: float) -> dict[str, object]:
    site = {
        "site": "0.attn",
        "nmse_to_sparse": nmse,
        "nmse_to_dense": nmse,
        "loss_dense_to_sparse": 2.0,
        "loss_sparse_to_dense": 2.5,
    }
    return {"sites": [site], "loss_sparse": 1.5, "loss_dense": 1.0, "tokens": 8}


def test_its_card_is_shown_beside_the_baseline(open_page, own_cache, bridged):
    card = {"bridges": {"trained": evaluation(0.25), "ridge": evaluation(0.5)}}
    (bridged.parent / "card.json").write_text(json.dumps(card))
    app = open_page("bridges", **QUERY, bridge="How good they are")
    shown = [frame.value["NMSE into sparse"].tolist() for frame in app.dataframe]
    assert shown == [[0.25], [0.5]]
    assert "1.500" in said(app)
