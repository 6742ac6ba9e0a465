"""A compiled circuit against the masked full model: every configuration, random circuits."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.circuits.edges import edges
from circuit_sparsity.circuits.means import Means, zeros
from circuit_sparsity.core.model import GPT
from circuit_sparsity.core.names import Node
from circuit_sparsity.runtime.assemble import with_engine
from circuit_sparsity.runtime.compiled import CircuitRun, compile_circuit
from circuit_sparsity.runtime.compiled.masked_run import full_run
from circuit_sparsity.runtime.prefix_cache import resumable_run
from circuit_sparsity.tasks.task import TaskBatch, answer_margin
from tests.runtime.edge_ablation import without_each_edge
from tests.runtime.random_circuits import (
    EVERY_TOP_K,
    GOLDEN,
    Ties,
    golden_model,
    masked_margins,
    random_ablations,
    random_circuit,
    random_means,
    random_model,
    random_prompts,
)

TOP_K = {"afrac": 0.3, "afrac_loctypes": EVERY_TOP_K}
POSITIONS = {"d_pos_emb": 6}
BIGRAM = {"enable_bigram_table": True, "learnable_bigram_table": True}
LAYER_NORM = {"rms_norm": False}
OPTIONS = {
    "positions with a top-k": {**POSITIONS, **TOP_K},
    "sink with a top-k": {"sink": True, **TOP_K},
    "positions and sink with a top-k": {**POSITIONS, "sink": True, **TOP_K, **BIGRAM},
    "positions and sink": {**POSITIONS, "sink": True},
    "waves for positions": {**POSITIONS, "sinusoidal_cat_pos_emb": True, **TOP_K},
    "neurons alone cut": {"afrac": 0.25, "afrac_loctypes": "mlp_neuron"},
    "reads alone cut": {"afrac": 0.25, "afrac_loctypes": "attn_in,mlp_in"},
    "everything cut away": {"afrac": 0.01, "afrac_loctypes": EVERY_TOP_K},
    "nothing cut away": {"afrac": 1.0, "afrac_loctypes": EVERY_TOP_K},
    "relu with a top-k": {"activation_type": "relu", **TOP_K},
    "LayerNorm": {**LAYER_NORM, "sink": True},
    "LayerNorm without its bias": {**LAYER_NORM, "ln_bias": False, "bias": False},
    "LayerNorm with positions": {**LAYER_NORM, **POSITIONS},
    "LayerNorm with a top-k": {**LAYER_NORM, **TOP_K},
    "LayerNorm with a top-k elsewhere": {
        **LAYER_NORM,
        "afrac": 0.3,
        "afrac_loctypes": "attn_q,attn_out,mlp_neuron,mlp_out",
    },
    "relu on the residual stream": {"residual_activation_type": "relu", **TOP_K},
    "relu on the residual stream, three layers": {
        "residual_activation_type": "relu",
        "n_layer": 3,
        **LAYER_NORM,
        "sink": True,
    },
    "LayerNorm with positions and a top-k": {**LAYER_NORM, **POSITIONS, **TOP_K},
    "residual stream cut": {"afrac": 0.3, "afrac_loctypes": "resid_post_attn,resid_post_mlp"},
    "residual stream cut after attention": {
        "afrac": 0.5,
        "afrac_loctypes": f"resid_post_attn,{EVERY_TOP_K}",
        "n_layer": 3,
        "sink": True,
    },
    "residual stream cut after relu": {
        "residual_activation_type": "relu",
        **LAYER_NORM,
        **POSITIONS,
        "afrac": 0.4,
        "afrac_loctypes": f"resid_post_mlp,resid_post_attn,{EVERY_TOP_K}",
    },
    "residual stream cut away": {"afrac": 0.01, "afrac_loctypes": "resid_post_mlp"},
    "tied unembedding": {"tied_unembed": True, "sink": True},
    "one layer": {"n_layer": 1, "sink": True, **TOP_K},
    "three layers": {"n_layer": 3, "sink": True, **TOP_K, **BIGRAM},
}
ENGINES: dict[str, Callable[..., CircuitRun]] = {
    "compiled": lambda circuit, model, means, batch: compile_circuit(circuit, model, means).on(
        batch
    ),
    "full": full_run,
}


@pytest.fixture(autouse=True)
def ties(monkeypatch: pytest.MonkeyPatch) -> Ties:
    watch = Ties()
    monkeypatch.setattr("circuit_sparsity.core.model.abs_top_k", watch)
    monkeypatch.setattr("circuit_sparsity.runtime.compiled.masked_run.abs_top_k", watch)
    monkeypatch.setattr("tests.runtime.edge_ablation.abs_top_k", watch)
    return watch


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Callable[..., CircuitRun]:
    return ENGINES[request.param]


def close(got: torch.Tensor, reference: torch.Tensor, ties: Ties) -> None:
    """Equal to 1e-5, but where a top-k hung on less than that: of those fewer than half differ."""
    assert got.shape == reference.shape
    off = (got - reference).abs() > 1e-5 * max(1.0, float(reference.abs().max()))
    off = off.any(dim=0)  # prompt
    if ties.near is not None:
        assert off.float().mean() < 0.5
        off = off & ~ties.near
    assert not off.any()


def look_for_ties(
    circuit: Circuit, model: GPT, means: Means, batch: TaskBatch, sets: list, ties: Ties
) -> None:
    """Run the masked full model without each of ``sets``, for its near ties alone."""
    ties.forget()
    full_run(circuit, model, means, batch).margins_without(sets)


def check_nodes(run: CircuitRun, model: GPT, means: Means, batch: TaskBatch, ties: Ties) -> None:
    """The circuit, some of its nodes one by one, and some together, all in one call."""
    circuit = run.circuit
    nodes = circuit.node_list
    step = max(1, len(nodes) // 8)
    sets = [[], *([node] for node in nodes[::step]), list(nodes[::3]), list(nodes)]
    ties.forget()
    reference = [masked_margins(circuit, model, means, batch, ablated) for ablated in sets]
    close(run.margins_without(sets), torch.stack(reference), ties)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_circuits_of_the_reference_models_equal_the_masked_model(engine, path, share, ties):
    model = golden_model(path)
    means, batch = random_means(model), random_prompts(model)
    run = engine(random_circuit(model, share), model, means, batch)
    check_nodes(run, model, means, batch, ties)


@pytest.mark.parametrize("share", [0.03, 0.2, 1.0])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_circuits_of_every_option_equal_the_masked_model(engine, options, share, ties):
    model = random_model(**options)
    means, batch = random_means(model), random_prompts(model, n=9)
    run = engine(random_circuit(model, share), model, means, batch)
    check_nodes(run, model, means, batch, ties)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_an_ablated_edge_equals_the_target_computed_anew(engine, options, ties):
    model = random_model(**options)
    means, batch = random_means(model), random_prompts(model)
    circuit = random_circuit(model, 0.3)
    joins = edges(circuit, model)[::12]
    run = resumable_run(model, circuit.masks(model.config), means, batch.tokens, batch.last)
    reference = [
        answer_margin(logits, batch.right, batch.wrong)
        for _, logits in without_each_edge(run, joins)
    ]
    got = engine(circuit, model, means, batch).margins_without([[join] for join in joins])
    close(got, torch.stack(reference), ties)


@pytest.mark.parametrize("fill", ["mean", "zero"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_nodes_and_edges_go_together(options, fill, ties):
    model = random_model(**options)
    means, batch = random_means(model), random_prompts(model)
    for seed, share in enumerate((0.05, 0.3)):
        circuit = random_circuit(model, share, seed)
        sets = random_ablations(circuit, model, seed=seed)
        ties.forget()
        compiled, full = (run(circuit, model, means, batch) for run in ENGINES.values())
        close(compiled.margins_without(sets, fill), full.margins_without(sets, fill), ties)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_every_edge_out_of_a_read_is_the_read(engine, options, ties):
    """With every channel of the next location kept, a read has no other way on."""
    model = random_model(**options)
    means, batch = random_means(model), random_prompts(model)
    circuit = random_circuit(model, 1.0)
    node = Node.parse(f"{model.config.n_layer - 1}.mlp.act_in:3")
    sets = [[node], [edge for edge in edges(circuit, model) if edge.source == node]]
    run = engine(circuit, model, means, batch)
    look_for_ties(circuit, model, means, batch, sets, ties)
    for fill in ("mean", "zero"):
        got = run.margins_without(sets, fill)
        close(got[1:], got[:1], ties)


def test_zero_ablation_is_mean_ablation_of_means_zero(engine, ties):
    """Where all is kept, no mean but the ablated node's own is ever used."""
    model = random_model(sink=True, **TOP_K)
    batch, circuit = random_prompts(model), random_circuit(model, 1.0)
    sets = [[node] for node in circuit.node_list[::20]]
    means = random_means(model)
    look_for_ties(circuit, model, zeros(model.config), batch, sets, ties)
    zero = engine(circuit, model, means, batch).margins_without(sets, "zero")
    reference = engine(circuit, model, zeros(model.config), batch).margins_without(sets, "mean")
    close(zero, reference, ties)


def test_no_ablation_is_no_row(engine):
    model = random_model()
    circuit, batch = random_circuit(model, 0.2), random_prompts(model)
    run = engine(circuit, model, random_means(model), batch)
    assert run.margins_without([]).shape == (0, len(batch))


def test_a_node_outside_the_circuit_is_named(engine):
    model = random_model()
    circuit, batch = random_circuit(model, 0.0), random_prompts(model)
    run = engine(circuit, model, random_means(model), batch)
    with pytest.raises(ValueError, match=r"does not keep 0\.mlp\.post_act:1"):
        run.losses_without([[Node.parse("0.mlp.post_act:1")]])


def test_a_part_named_twice_goes_once(engine):
    model = random_model(sink=True)
    circuit, batch = random_circuit(model, 0.3), random_prompts(model)
    node, join = circuit.node_list[3], edges(circuit, model)[5]
    got = engine(circuit, model, random_means(model), batch).margins_without(
        [[node, join], [join, node, join, node]]
    )
    torch.testing.assert_close(got[1], got[0], atol=1e-6, rtol=0)


@pytest.mark.parametrize("options", [{}, {"sink": True, **POSITIONS, **TOP_K}])
def test_prompts_of_one_token_equal_the_masked_model(engine, options, ties):
    model = random_model(**options)
    means, batch = random_means(model), random_prompts(model, n=17, longest=1)
    run = engine(random_circuit(model, 0.3), model, means, batch)
    check_nodes(run, model, means, batch, ties)


@pytest.mark.parametrize("kind", ["act_in", "q", "k", "v", "resid_delta", "post_act"])
def test_a_location_that_keeps_nothing_is_at_its_means(engine, kind, ties):
    model = random_model(sink=True, **POSITIONS, **TOP_K)
    means, batch = random_means(model), random_prompts(model)
    whole = random_circuit(model, 0.6)
    circuit = whole.without(node for node in whole.node_list if node.location.kind == kind)
    check_nodes(engine(circuit, model, means, batch), model, means, batch, ties)


@pytest.mark.parametrize("compressed", [False, True], ids=["dense", "compressed"])
def test_a_model_that_wants_gradients_compiles_to_the_same(compressed):
    options = {**POSITIONS, "sinusoidal_cat_pos_emb": True, "sink": True, **TOP_K}
    frozen, wanting = random_model(**options), random_model(**options).requires_grad_(True)
    wanting.transformer.wpe.weight.requires_grad_(False)  # waves are not learned
    if compressed:
        wanting = with_engine(wanting, "sparse")
    means, batch = random_means(frozen), random_prompts(frozen)
    circuit = random_circuit(frozen, 0.3)
    expected, got = (
        compile_circuit(circuit, model, means).on(batch).margins() for model in (frozen, wanting)
    )
    assert not got.requires_grad
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)


def test_threads_that_share_a_run_get_their_own_answers():
    model = random_model(sink=True, **POSITIONS, **TOP_K)
    circuit, batch = random_circuit(model, 0.4), random_prompts(model, n=40)
    run = compile_circuit(circuit, model, random_means(model)).on(batch)
    sets = [random_ablations(circuit, model, n=12, seed=seed) for seed in range(4)]
    expected = [run.margins_without(some) for some in sets]
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(run.margins_without, sets * 8))
    assert all(torch.equal(one, expected[i % 4]) for i, one in enumerate(got))
