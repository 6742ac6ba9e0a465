"""Every engine computes the same: with hooks, with interventions, and backwards."""

import copy
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from circuit_sparsity.circuits.edges import edges, matrix_between, weight_between
from circuit_sparsity.core.checkpoint import fitting, parse_config
from circuit_sparsity.core.hooks import (
    Recorder,
    ambient,
    chain,
    no_hook,
    replace,
    wants,
    with_names,
)
from circuit_sparsity.core.model import GPT
from circuit_sparsity.core.names import Location
from circuit_sparsity.core.sparse_modules import SparseLinear, compressed
from circuit_sparsity.kernels import run_layer
from circuit_sparsity.runtime import panel_block
from circuit_sparsity.runtime.ablation import answer_logits
from circuit_sparsity.runtime.assemble import assemble, with_engine
from circuit_sparsity.runtime.panel_block import PanelBlock
from tests.runtime.random_circuits import (
    EVERY_TOP_K,
    GOLDEN,
    Ties,
    random_circuit,
    random_means,
    random_model,
    random_prompts,
)

EVERYTHING = {
    "afrac": 0.4,
    "afrac_loctypes": f"{EVERY_TOP_K},resid_post_attn,resid_post_mlp",
    "d_pos_emb": 5,
    "sink": True,
    "enable_bigram_table": True,
}


def distance(got: torch.Tensor, reference: torch.Tensor) -> float:
    assert got.shape == reference.shape
    return float((got - reference).abs().max() / reference.abs().max().clamp(min=1e-12))


def golden_on(path: Path, engine) -> tuple[GPT, dict]:
    golden = torch.load(path, weights_only=True)
    config = parse_config(golden["config"], path.name)
    return assemble(config, fitting(config, golden["state_dict"], path.name), engine), golden


@pytest.mark.parametrize("engine", ["sparse", "auto"])
@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
@torch.no_grad()
def test_every_hooked_tensor_equals_the_reference(path, engine):
    model, golden = golden_on(path, engine)
    recorder = Recorder()
    logits, loss, inputs = model(golden["idx"], golden["targets"], hook=recorder)
    assert distance(logits, golden["logits"]) < 2e-5
    assert distance(loss, golden["loss"]) < 2e-5
    assert set(recorder.tensors) == set(golden["hooks"])
    for name, reference in golden["hooks"].items():
        assert distance(recorder.tensors[name], reference) < 2e-5, name
    assert len(inputs) == model.config.n_layer
    assert torch.equal(logits, model(golden["idx"])[0])  # who looks changes nothing


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
@torch.no_grad()
def test_interventions_equal_the_reference(path):
    model, golden = golden_on(path, "sparse")
    intervention = golden["intervention"]
    changes = {}
    for name, (channel, value) in intervention["set_value"].items():

        def set_value(x, channel=channel, value=value):
            x[..., channel] = value  # in place, as some hooks do
            return x

        changes[name] = set_value
    for name, fill in intervention["mean_fill"].items():
        changes[name] = lambda x, fill=fill: torch.where(fill["mask"].bool(), x, fill["mean"])
    recorder = Recorder()
    logits, _, _ = model(golden["idx"], hook=chain(replace(changes), recorder))
    assert distance(logits, intervention["logits"]) < 2e-5
    for name, reference in intervention["hooks"].items():
        assert distance(recorder.tensors[name], reference) < 2e-5, name


@pytest.fixture
def ties(monkeypatch):
    ties = Ties()
    monkeypatch.setattr("circuit_sparsity.core.model.abs_top_k", ties)
    return ties


def is_near(
    got: torch.Tensor, expected: torch.Tensor, compared: torch.Tensor, exact: torch.Tensor
) -> bool:
    """Weights are of size 1, so what cancels keeps the rounding of numbers of that size.

    A norm of next to nothing enlarges that rounding, in the dense model as well: in a prompt where
    that is far from ``exact``, in double precision, so far may the sparse one be, four times over.
    """
    rounding = (expected - exact).abs().flatten(1).amax(dim=1)
    limit = 2e-5 + 1e-4 * expected.abs().max() + 4 * rounding
    return bool(((got - expected).abs().flatten(1).amax(dim=1) < limit)[compared].all())


SHAPES = st.fixed_dictionaries(
    {
        "n_layer": st.integers(1, 2),
        "n_head": st.integers(1, 3),
        "d_head": st.sampled_from([1, 3, 8, 11]),
        "d_model": st.integers(1, 40),
        "d_mlp": st.integers(1, 40),
        "bias": st.booleans(),
        "rms_norm": st.booleans(),
        "ln_bias": st.booleans(),
        "sink": st.booleans(),
        "activation_type": st.sampled_from(["gelu", "relu"]),
        "residual_activation_type": st.sampled_from(["identity", "relu"]),
        "afrac": st.sampled_from([None, 0.05, 0.3]),
        "afrac_loctypes": st.sampled_from(["attn_in,mlp_out", EVERYTHING["afrac_loctypes"]]),
        "d_pos_emb": st.sampled_from([None, 3]),
        "tied_unembed": st.booleans(),
        "enable_bigram_table": st.booleans(),
    }
)


@settings(deadline=None, max_examples=40)
@given(SHAPES, st.sampled_from([0.0, 0.05, 0.5]), st.integers(1, 4), st.integers(1, 35))
@torch.no_grad()
def test_any_shape_computes_what_the_dense_model_computes(shape, density, prompts, length):
    ties = Ties()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("circuit_sparsity.core.model.abs_top_k", ties)
        dense = random_model(prompts, density, block_size=40, **shape)
        tokens = torch.randint(24, (prompts, length))
        expected, compared = Recorder(), torch.ones(prompts, dtype=torch.bool)
        logits = dense(tokens, hook=expected)[0]
        exact = Recorder()
        exact_logits = copy.deepcopy(dense).double()(tokens, hook=exact)[0]
    if ties.near is not None:
        compared = ~ties.near
    sparse, got = with_engine(dense, "sparse"), Recorder()
    plain = sparse(tokens)[0]
    assert torch.equal(plain, sparse(tokens, hook=got)[0])
    assert is_near(plain, logits, compared, exact_logits)
    for name, x in expected.tensors.items():
        assert is_near(got.tensors[name], x, compared, exact.tensors[name]), name


def gradients(model: GPT, tokens: torch.Tensor) -> dict[str, torch.Tensor]:
    """Of the last logits, with respect to everything that is hooked."""

    class Leafy(Recorder):
        def __call__(self, name, x):
            return super().__call__(name, x if x.requires_grad else x.requires_grad_())

    recorder = Leafy()
    logits = model(tokens, hook=recorder)[0]
    weights = torch.linspace(-1, 1, logits[:, -1].numel()).view_as(logits[:, -1])
    found = torch.autograd.grad((logits[:, -1] * weights).sum(), list(recorder.tensors.values()))
    return dict(zip(recorder.tensors, found, strict=True))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {**EVERYTHING, "afrac_loctypes": EVERY_TOP_K},
        {"rms_norm": False, "sink": True, "activation_type": "relu"},
        {"residual_activation_type": "relu", "tied_unembed": True, "d_head": 9},
    ],
)
def test_gradients_equal_those_of_the_dense_model(options, ties):
    # Without zeros in the embedding: which zeros a top-k keeps, and so what gradient they get, is
    # open.
    dense = random_model(3, density=1.0, **options)
    tokens = torch.randint(24, (5, 13), generator=torch.Generator().manual_seed(0))
    expected = gradients(dense, tokens)
    compared = torch.ones(5, dtype=torch.bool) if ties.near is None else ~ties.near
    assert compared.any()
    got = gradients(with_engine(dense, "sparse"), tokens)
    assert list(got) == list(expected)
    for name, reference in expected.items():
        assert distance(got[name][compared], reference[compared]) < 1e-4, name


def test_a_gradient_without_hooks_equals_that_of_the_dense_model():
    dense = random_model(4, sink=True, d_pos_emb=3)
    slopes = []
    for model in (dense, with_engine(dense, "sparse")):
        start = model.transformer.wte(torch.arange(10)[None]).requires_grad_()
        x, positions = start, model.transformer.wpe.weight[:10]
        for block in model.blocks:
            x = block(x, positions, no_hook)
        slopes += torch.autograd.grad(model.unembed(x, torch.arange(10)[None]).sum(), start)
    assert distance(slopes[1], slopes[0]) < 1e-4


@pytest.mark.parametrize("options", [{}, EVERYTHING])
@torch.no_grad()
def test_a_circuit_answers_the_same(options, ties):
    dense = random_model(5, **options)
    means, batch = random_means(dense), random_prompts(dense)
    alive = random_circuit(dense, 0.4).masks(dense.config)
    ties.forget()
    expected = answer_logits(dense, batch.tokens, batch.last, alive=alive, means=means)
    compared = torch.ones(len(batch.tokens), dtype=torch.bool) if ties.near is None else ~ties.near
    model = with_engine(dense, "sparse")
    got = answer_logits(model, batch.tokens, batch.last, alive=alive, means=means)
    assert distance(got[compared], expected[compared]) < 1e-4


@torch.no_grad()
def test_an_ambient_hook_reaches_the_sparse_engine():
    model = with_engine(random_model(6), "sparse")
    tokens = torch.arange(9)[None]
    with ambient(replace({"0.mlp.post_act": torch.zeros_like})):
        changed = model(tokens)[0]
    expected = model(tokens, hook=replace({"0.mlp.post_act": torch.zeros_like}))[0]
    assert torch.equal(changed, expected)
    assert not torch.equal(changed, model(tokens)[0])


@torch.no_grad()
@torch.no_grad()
def test_a_hook_costs_the_layers_of_which_it_wants_something(monkeypatch: pytest.MonkeyPatch):
    """The others run fused, and the hook is shown nothing of them but what passes between them."""
    model = with_engine(random_model(11), "sparse")
    plain, fused, seen = model(torch.arange(9)[None])[0], [], []
    monkeypatch.setattr(panel_block, "run_layer", lambda *given: fused.append(run_layer(*given)))

    def watch(name: str, x: torch.Tensor) -> torch.Tensor:
        seen.append(name)
        return x

    watched = model(torch.arange(9)[None], hook=with_names(watch, {"1.mlp.post_act"}))[0]
    assert torch.equal(watched, plain)
    assert len(fused) == model.config.n_layer - 1
    between = [f"{layer}.resid_in" for layer in range(model.config.n_layer)]
    assert set(seen) == {"1.mlp.post_act", *between, "final_resid"}


def test_a_recorder_a_change_and_their_chain_say_what_they_want():
    recorder, change = Recorder("0[.]attn"), replace({"1.mlp.post_act": torch.relu})
    both = chain(recorder, change)
    names = ("0.attn.q", "1.mlp.post_act", "1.attn.q")
    assert [wants(recorder, name) for name in names] == [True, False, False]
    assert [wants(change, name) for name in names] == [False, True, False]
    assert [wants(both, name) for name in names] == [True, True, False]
    assert wants(Recorder(), "1.attn.q")
    assert wants(lambda name, x: x, "1.attn.q")  # what says nothing is shown everything
    assert not wants(no_hook, "1.attn.q")


def test_heads_that_nothing_reads_change_nothing_but_what_is_seen_of_them():
    dense = random_model(7)
    dense.blocks[0].attn.c_proj.weight[:, 4:12] = 0.0  # of heads 1 and 2
    sparse, tokens = with_engine(dense, "sparse"), torch.arange(12)[None]
    assert distance(sparse(tokens)[0], dense(tokens)[0]) < 2e-5
    seen = []
    for model in (dense, sparse):
        recorder = Recorder("0.attn.y")
        model(tokens, hook=recorder)
        seen.append(recorder.tensors["0.attn.y"])
    assert distance(seen[1], seen[0]) < 2e-5


def test_edges_and_matrices_are_the_same_on_each_engine():
    dense = random_model(8)
    sparse, circuit = with_engine(dense, "sparse"), random_circuit(dense, 0.5)
    assert edges(circuit, sparse) == edges(circuit, dense)
    for source, target in (("act_in", "k"), ("v", "resid_delta")):
        places = Location(1, "attn", source), Location(1, "attn", target)
        weight = weight_between(dense, *places)
        assert torch.equal(weight_between(sparse, *places), weight)
        for model in (dense, sparse):
            assert torch.equal(matrix_between(model, *places).dense(), weight)


def test_a_sparse_model_has_the_same_tensors_by_name():
    dense = random_model(9, tied_unembed=True, **{"enable_bigram_table": True})
    state = with_engine(dense, "sparse").state_dict()
    assert state.keys() == dense.state_dict().keys()
    assert all(torch.equal(state[name], x) for name, x in dense.state_dict().items())
    assert torch.equal(compressed(dense.lm_head).dense(), dense.lm_head.weight)


def test_auto_keeps_each_matrix_as_is_faster():
    dense = random_model(10, density=1.0, d_model=64, d_mlp=128)
    dense.blocks[0].mlp.c_fc.weight[:, 1:] = 0.0
    first, second = with_engine(dense, "auto").blocks
    assert isinstance(first, PanelBlock)
    assert isinstance(first.mlp.c_fc, SparseLinear)
    assert not isinstance(first.mlp.c_proj, SparseLinear)
    assert not isinstance(second, PanelBlock)
    tokens = torch.arange(16)[None]
    with torch.no_grad():
        assert distance(with_engine(dense, "auto")(tokens)[0], dense(tokens)[0]) < 1e-4


def test_a_compressed_model_says_why_it_does_not_leave_the_cpu():
    with pytest.raises(ValueError, match='load the model with engine="dense"'):
        with_engine(random_model(), "sparse").to(torch.bfloat16)
