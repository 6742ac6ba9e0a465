"""The page of weights without a browser: a channel, a token, positions, models without circuits."""

import shutil

import pytest

from circuit_sparsity.core.names import Location
from circuit_sparsity.core.tokenizer import load_tokenizer
from circuit_sparsity.nodes.vocabulary import positions
from circuit_sparsity.plots.tokens import show_token
from circuit_sparsity.runtime.assemble import load_model
from tests.ui.conftest import MODEL, QUERY


@pytest.fixture
def model(cache):
    return load_model(cache / "models" / MODEL)


@pytest.fixture
def tokenizer(cache):
    return load_tokenizer(cache / "tinypython")


def infos(app):
    return "\n".join(part.value for part in app.info)


def test_a_channels_tokens_stand_by_weight_with_the_strongest_first(open_app, model, tokenizer):
    app = open_app("weights", **QUERY, residual="5")
    for frame, weights in zip(
        app.dataframe[:2],
        (model.transformer.wte.weight[:, 5], model.lm_head.weight[:, 5]),
        strict=True,
    ):
        best = int(weights.abs().argmax())
        first = frame.value.iloc[0]
        assert first["id"] == best
        assert first["weight"] == pytest.approx(float(weights[best]))
        assert first["token"] == show_token(tokenizer.token_bytes(best))


def test_a_tokens_strongest_next_and_last_tokens_are_the_bigram_tables(open_app, model):
    after, before = (
        frame.value for frame in open_app("weights", **QUERY, token="351").dataframe[2:4]
    )
    table = model.bigram_table
    assert after["id"][0] == int(table[351].abs().argmax())
    assert before["id"][0] == int(table[:, 351].abs().argmax())


def test_a_token_is_found_by_its_text(open_app, tokenizer):
    app = open_app("weights", **QUERY)
    (number,) = tokenizer.encode(" return")
    assert f"{number}  ·return" in app.selectbox(key="token").options


def test_the_view_is_in_the_address(open_app):
    app = open_app("weights", **QUERY)
    app.number_input(key="residual").set_value(9).run()
    app.selectbox(key="token").set_value(77).run()
    assert app.query_params["residual"] == "9"
    assert app.query_params["token"] == "77"


@pytest.mark.parametrize("bad", ["-1", "999999", "x"])
def test_a_link_to_what_is_not_there_opens_the_first(open_app, bad):
    app = open_app("weights", **QUERY, residual=bad, token=bad)
    assert (app.number_input(key="residual").value, app.selectbox(key="token").value) == (0, 0)


def test_a_model_without_circuits_and_means_shows_its_weights(open_app, own_cache, release_fixture):
    for name in ("dense1_1x", "csp_bridges1"):
        shutil.copytree(release_fixture / "models" / name, own_cache / "models" / name)
        app = open_app("weights", model=name)
        assert "no position embedding" in infos(app)
        assert len(app.dataframe) >= 4


def test_a_model_that_is_not_here_is_offered(open_app, own_cache):
    shutil.rmtree(own_cache / "models" / MODEL)
    app = open_app("weights", **QUERY)
    assert "its weights cannot be shown yet" in infos(app)
    assert not app.dataframe


def test_concatenated_position_channels_have_the_numbers_of_the_nodes_that_read_them(model):
    found = positions(model)
    assert not found.added
    width = model.config.width(Location.parse("0.attn.act_in"))
    assert set(found.channels) <= set(range(model.config.d_model, width))
    table = model.transformer.wpe.weight
    for column, channel in enumerate(found.channels):
        assert found.values[:, column].equal(table[:, channel - model.config.d_model])


def test_added_position_channels_are_residual_channels(release_fixture):
    model = load_model(release_fixture / "models/csp_yolo1")
    found = positions(model)
    assert found.added
    for column, channel in enumerate(found.channels):
        assert found.values[:, column].equal(model.transformer.wpe.weight[:, channel])
    left_out = set(range(model.config.d_model)) - set(found.channels)
    assert all((model.transformer.wpe.weight[:, channel] == 0).all() for channel in left_out)
