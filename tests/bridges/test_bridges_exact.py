"""A dense model that is the sparse one in other coordinates: everything about it is known."""

import math

import pytest
import torch

from circuit_sparsity.bridges.bridge import Pairing, Site, sites
from circuit_sparsity.bridges.effects import effects
from circuit_sparsity.bridges.evaluation import evaluate, windows_of
from circuit_sparsity.bridges.hybrids import hybrid_logits, residual_streams
from circuit_sparsity.bridges.objective import terms
from circuit_sparsity.bridges.ridge import ridge_bridges
from circuit_sparsity.bridges.runs import Addition, Runs
from circuit_sparsity.bridges.transfer import Carrier, NodeEdit, transfer, turned
from circuit_sparsity.circuits.means import mean_activations
from circuit_sparsity.circuits.recipe import Level
from circuit_sparsity.core.hooks import replace
from circuit_sparsity.core.model import GPT
from circuit_sparsity.core.names import Location, Node
from circuit_sparsity.tasks.task import two_way_loss
from tests.bridges.rotated import (
    D_SPARSE,
    Rotated,
    config,
    rotated_pair,
    some_noise,
    some_prompts,
    some_tokens,
)

EXACT = 1e-4


@pytest.fixture(scope="module")
def made() -> Rotated:
    return rotated_pair()


def test_both_models_say_the_same(made):
    tokens = some_tokens()
    assert torch.allclose(made.sparse(tokens)[0], made.dense(tokens)[0], atol=EXACT)


def test_ridge_regression_finds_the_exact_bridge(made):
    pairing = Pairing.of(made.sparse.config, made.dense.config)
    tokens = some_tokens(400)
    found = ridge_bridges(made.sparse, made.dense, [tokens], pairing, D_SPARSE, ridge=1e-9)
    for bridge in found:
        assert torch.allclose(bridge.decoder.weight, made.rotation, atol=EXACT)
        # Embeddings of 24 tokens span all 12 channels, so the encoder is determined as well.
        assert torch.allclose(bridge.encoder.weight, made.rotation.T, atol=EXACT)


@pytest.mark.parametrize("index", range(4))
def test_hybrids_equal_the_model_they_end_in(made, index):
    tokens, site = some_tokens(), sites(2)[index]
    streams, logits = residual_streams(made.sparse, tokens, [site])
    others, _ = residual_streams(made.dense, tokens, [site])
    bridge = made.bridges[index]
    into_sparse = hybrid_logits(made.sparse, tokens, site, bridge.encode(others[0]))
    into_dense = hybrid_logits(made.dense, tokens, site, bridge.decode(streams[0]))
    assert torch.allclose(into_sparse, logits, atol=EXACT)
    assert torch.allclose(into_dense, logits, atol=EXACT)


def test_the_objective_of_an_exact_bridge_is_the_sparse_models_own_loss(made):
    tokens = some_tokens()
    found = terms(made.sparse, made.dense, made.bridges, tokens[:, :-1], tokens[:, 1:], switches=2)
    assert found.values()[1:].abs().max() < EXACT
    assert float(found.pretraining) == pytest.approx(
        float(made.sparse(tokens[:, :-1], tokens[:, 1:])[1]), abs=EXACT
    )


def test_an_evaluation_of_an_exact_bridge_shows_no_gap(made):
    text = some_tokens(1, 200).flatten()
    found = evaluate(made.sparse, made.dense, made.bridges, windows_of(text, 16, 4))
    assert found.tokens == 192
    assert abs(found.worst_gap) < EXACT
    assert max(one.nmse_to_dense for one in found.sites) < EXACT
    assert max(one.nmse_to_sparse for one in found.sites) < EXACT


NODES = ("0.attn.act_in:3", "1.attn.act_in:0", "1.mlp.act_in:5", "0.mlp.act_in:11")


@pytest.mark.parametrize("name", [*NODES, "0.attn.q:2", "0.mlp.post_act:4", "1.attn.v:1"])
@pytest.mark.parametrize("level", [None, Level("zero"), Level("set", 1.5), Level("scale", 3.0)])
def test_an_edit_transfers_exactly(made, name, level):
    """At strength 1 of a read, or of a node whose change of the stream is carried whole."""
    pair, batch = made.pair(), some_prompts()
    (one,) = transfer(pair, batch, [NodeEdit(Node.parse(name), level)], [1.0], draws=1)
    assert one.dense_p_right == pytest.approx(one.sparse_p_right, abs=EXACT)


def test_edits_of_reads_at_several_places_transfer_exactly_at_every_strength(made):
    pair, batch = made.pair(), some_prompts()
    edits = [NodeEdit(Node.parse(name), Level("set", 1.0)) for name in NODES]
    for one in transfer(pair, batch, edits, [0.0, 0.3, 1.0, 2.0], draws=1):
        assert one.dense_p_right == pytest.approx(one.sparse_p_right, abs=EXACT)


@pytest.mark.parametrize("name", NODES)
def test_with_gains_an_edit_transfers_exactly_where_the_norms_have_some(name):
    """The published formula takes no notice of them, and is off."""
    made, batch = rotated_pair(gains=True), some_prompts()
    assert torch.allclose(made.sparse(batch.tokens)[0], made.dense(batch.tokens)[0], atol=EXACT)
    edit = [NodeEdit(Node.parse(name), Level("set", 3.0))]
    (exact,) = transfer(made.pair(), batch, edit, [1.0], draws=1, gains=True)
    (published,) = transfer(made.pair(), batch, edit, [1.0], draws=1)
    assert exact.dense_p_right == pytest.approx(exact.sparse_p_right, abs=EXACT)
    assert abs(published.dense_p_right - exact.sparse_p_right) > EXACT


@pytest.mark.parametrize("name", ["1.mlp.act_in", "0.attn.v", "1.attn.act_in", "0.mlp.resid_delta"])
def test_a_run_from_where_the_edit_begins_is_the_whole_run(made, name):
    """Also of the last MLP, which is computed at the last tokens alone."""
    batch, location = some_prompts(), Location.parse(name)
    shorter = type(batch)(batch.tokens, batch.last - 2, batch.right, batch.wrong)
    delta = torch.randn(
        12, 9, made.sparse.config.width(location), generator=torch.Generator().manual_seed(0)
    )
    added = Addition(Site.parse(name.rpartition(".")[0]), name, delta)
    logits = made.sparse(batch.tokens, hook=replace({name: lambda x: x + 0.5 * delta}))[0]
    whole = two_way_loss(shorter.at_last(logits), batch.right, batch.wrong)
    found = Runs(made.sparse, shorter).outcome([added], 0.5)
    assert torch.allclose(found.losses, whole, atol=1e-5)


def test_a_read_that_is_cut_with_its_positions_is_cut_alike_in_every_run():
    settings = config(D_SPARSE, afrac=0.4, afrac_loctypes="mlp_in,mlp_neuron")
    model = GPT(settings)
    with torch.no_grad():
        for i, parameter in enumerate(model.parameters()):
            parameter.copy_(0.4 * some_noise(*parameter.shape) * (1 + i % 3))
    runs, batch = Runs(model.requires_grad_(False), some_prompts()), some_prompts()
    rows = torch.arange(len(batch))
    whole = two_way_loss(model(batch.tokens)[0][rows, batch.last], batch.right, batch.wrong)
    assert torch.allclose(runs.outcome().losses, whole, atol=1e-6)
    added = Addition(Site(1, "mlp"), "1.resid_mid", some_noise(*batch.tokens.shape, D_SPARSE))
    with_it = replace({"1.resid_mid": lambda x: x + added.delta})
    final, _ = model.residual(batch.tokens, with_it)
    logits = model.unembed(final[rows, batch.last], batch.tokens[rows, batch.last])
    expected = two_way_loss(logits, batch.right, batch.wrong)
    assert torch.allclose(runs.outcome([added]).losses, expected, atol=1e-6)


def test_an_edit_changes_something(made):
    """Else the tests above would hold for edits that do nothing."""
    pair, batch = made.pair(), some_prompts()
    edit = [NodeEdit(Node.parse("1.mlp.act_in:5"), Level("set", 4.0))]
    none, full = transfer(pair, batch, edit, [0.0, 1.0], draws=1)
    assert none.dense_p_right == pytest.approx(Runs(made.dense, batch).outcome().p_right)
    assert abs(full.dense_p_right - none.dense_p_right) > 0.01


def test_the_other_classs_value_is_what_the_sparse_model_reads_in_the_other_prompt(made):
    """With every channel of the last read exchanged, prompts are answered as their pair is."""
    pair, batch = made.pair(), some_prompts()
    place, seen = "1.mlp.act_in", {}
    made.sparse.residual(batch.tokens, replace({place: lambda x: seen.setdefault("x", x)}))
    edits = [NodeEdit(Node.parse(f"{place}:{channel}")) for channel in range(D_SPARSE)]
    (shift,) = Carrier(pair, batch).shifts(edits)
    swapped = seen["x"] + shift.own.delta
    expected = seen["x"].roll(batch.n_pairs, 0)
    assert torch.allclose(swapped[..., :D_SPARSE], expected[..., :D_SPARSE], atol=1e-5)


def test_prompts_of_unequal_length_are_laid_with_their_last_tokens_together(made):
    pair, batch = made.pair(), some_prompts(pairs=1)
    shorter = type(batch)(batch.tokens, torch.tensor([8, 6]), batch.right, batch.wrong)
    node = Node.parse("0.attn.act_in:3")
    (shift,) = Carrier(pair, shorter).shifts([NodeEdit(node)])
    seen = {}
    made.sparse.residual(
        batch.tokens, replace({"0.attn.act_in": lambda x: seen.setdefault("x", x)})
    )
    own = seen["x"][..., node.channel]
    change = shift.own.delta[..., node.channel]
    assert change[0, 8] == pytest.approx(float(own[1, 6] - own[0, 8]), abs=1e-6)
    assert change[0, 1] == 0  # the other prompt has nothing there: it begins two tokens later
    assert change[1, 0] == pytest.approx(float(own[0, 2] - own[1, 0]), abs=1e-6)


def test_controls_have_the_norm_of_the_real_edit_at_every_position(made):
    pair, batch = made.pair(), some_prompts()
    carrier = Carrier(pair, batch)
    shifts = carrier.shifts([NodeEdit(Node.parse("1.mlp.act_in:5"))])
    (real,) = carrier.additions(shifts)
    (channels,) = carrier.additions(shifts, draw=3)
    (directions,) = turned([real], draw=3)
    norm = real.delta.norm(dim=-1)
    assert float(norm.max()) > 0
    for control in (channels, directions):
        assert torch.allclose(control.delta.norm(dim=-1), norm, atol=1e-5)
        assert not torch.allclose(control.delta, real.delta, atol=1e-2)


def test_effects_in_both_models_agree_over_an_exact_bridge(made):
    pair, batch = made.pair(), some_prompts()
    means = mean_activations(made.sparse, [some_tokens()])
    nodes = [Node.parse(f"{place}:{c}") for place in ("0.attn.act_in", "1.mlp.act_in", "0.attn.v")
             for c in range(0, 8, 2)]  # fmt: skip
    behind = Node.parse("1.mlp.post_act:0")  # no site stands behind the last MLP
    found = effects(pair, batch, [*nodes, behind], means)
    assert found.left_out == (behind,)
    for one in found.nodes:
        assert one.dense == pytest.approx(one.sparse, abs=EXACT)
    assert found.bridge.correlation == pytest.approx(1.0, abs=0.02)
    assert found.bridge.low > 0.9
    assert found.shuffled.correlation < found.bridge.low


def test_a_reading_by_four_readers_is_one_reading_over_an_exact_bridge(made):
    found = made.pair().read([1, 5, 2, 9, 9, 3], Site(1, "attn"))
    for name in ("dense", "dense_to_sparse", "sparse_to_dense"):
        assert torch.allclose(found.losses[name], found.losses["sparse"], atol=EXACT)
    table = found.next_tokens(n=3)["dense"]
    assert table[0][1] >= table[1][1] >= table[2][1]
    assert math.isclose(
        sum(chance for _, chance in found.next_tokens(n=24)["sparse"]), 1, abs_tol=1e-5
    )
    assert len(found.partings("sparse", "dense", 2)) == 2


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("final_resid:1", "behind the last block"),
        ("1.mlp.post_act:1", "no bridge stands behind"),
        ("1.mlp.act_in:12", "no channel that a bridge carries"),
        ("2.attn.act_in:1", "expected a node of layers 0 to 1"),
    ],
)
def test_an_edit_that_no_bridge_carries_is_refused(made, name, said):
    with pytest.raises(ValueError, match=said):
        Carrier(made.pair(), some_prompts()).shifts([NodeEdit(Node.parse(name))])
