"""Edges ablated one at a time, against models changed by hand to be without them."""

import copy
from dataclasses import replace

import pytest
import torch

from circuit_sparsity.circuits.circuit import masks
from circuit_sparsity.circuits.edges import EDGE_KINDS, Edge, bias_of, weight_between
from circuit_sparsity.circuits.means import Means
from circuit_sparsity.core.model import GPT, GPTConfig
from circuit_sparsity.core.names import Location, Node, circuit_locations
from circuit_sparsity.runtime.ablation import answer_logits
from circuit_sparsity.runtime.prefix_cache import ResumableRun, resumable_run
from tests.runtime.edge_ablation import without_each_edge, without_edges

ADDED = GPTConfig(
    block_size=16,
    vocab_size=20,
    n_layer=2,
    n_head=2,
    d_head=4,
    d_model=8,
    d_mlp=12,
    rms_norm=True,
    tied_unembed=False,
)
CUT = replace(
    ADDED,
    afrac=0.5,
    afrac_loctypes="attn_in,attn_q,attn_k,attn_v,attn_out,mlp_in,mlp_neuron,mlp_out",
)
SINK = replace(CUT, sink=True, d_pos_emb=4, enable_bigram_table=True, learnable_bigram_table=True)
CONFIGS = pytest.mark.parametrize("config", [ADDED, CUT, SINK], ids=["plain", "top-k", "sink"])
KINDS = pytest.mark.parametrize("kind", EDGE_KINDS, ids="-".join)


def random_run(config: GPTConfig) -> ResumableRun:
    """A random model of which three nodes in four run, on random prompts with random means."""
    generator = torch.Generator().manual_seed(5)
    model = GPT(config)
    model.requires_grad_(False).eval()
    for parameter in model.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.6)
    places = circuit_locations(config.n_layer)
    widths = {place: config.width(place) for place in places}
    means = Means({p: torch.randn(w, generator=generator) * 0.3 for p, w in widths.items()})
    kept = {
        p: (torch.rand(w, generator=generator) < 0.75).nonzero().flatten().tolist()
        for p, w in widths.items()
    }
    tokens = torch.randint(1, config.vocab_size, (4, 7), generator=generator)
    last = torch.tensor([6, 4, 6, 5])
    return resumable_run(model, masks(kept, config), means, tokens, last)


def some_edges(run: ResumableRun, kind: tuple[str, str, str], layer: int) -> list[Edge]:
    block, source, target = kind
    source, target = Location(layer, block, source), Location(layer, block, target)
    weights = weight_between(run.model, source, target)
    alive = masks_of(run)
    return [
        Edge(Node(source, s), Node(target, t), float(weights[t, s]))
        for t in alive[target].nonzero().flatten().tolist()
        for s in alive[source].nonzero().flatten().tolist()
    ]


def masks_of(run: ResumableRun) -> dict[Location, torch.Tensor]:
    """Which nodes run, told from the fill itself."""
    found = {}
    for place in circuit_locations(run.model.config.n_layer):
        x = torch.full((1, 1, run.model.config.width(place)), 12345.0)
        found[place] = run.fill(str(place), x)[0, 0] == 12345.0
    return found


@CONFIGS
def test_a_kept_run_ends_as_a_plain_run_of_the_circuit(config: GPTConfig) -> None:
    run = random_run(config)
    plain = answer_logits(run.model, run.tokens, run.last, run.fill)
    assert torch.equal(run.base, plain)


@CONFIGS
def test_nodes_ablated_late_are_nodes_ablated_from_the_start(config: GPTConfig) -> None:
    run = random_run(config)
    for place in circuit_locations(config.n_layer):
        node = Node(place, int(masks_of(run)[place].nonzero()[0]))
        alive = masks_of(run)
        alive[place][node.channel] = False
        plain = answer_logits(run.model, run.tokens, run.last, alive=alive, means=run.means)
        torch.testing.assert_close(run.without((node,)), plain)


@KINDS
@CONFIGS
def test_an_ablated_edge_is_a_zero_weight_with_its_mean_in_the_bias(
    config: GPTConfig, kind: tuple[str, str, str]
) -> None:
    if config.sink and kind[1] == "v":
        # What the sink takes is not constant, so no bias stands for it: see the next property.
        config = replace(config, sink=False)
    run = random_run(config)
    edges = some_edges(run, kind, layer=1)[::7]
    for edge, logits in without_each_edge(run, edges):
        twin = copy.deepcopy(run.model)
        mean = run.means.values[edge.source.location][edge.source.channel]
        weight = weight_between(twin, edge.source.location, edge.target.location)
        bias = bias_of(twin, edge.target.location)
        assert bias is not None
        weight[edge.target.channel, edge.source.channel] = 0.0
        bias[edge.target.channel] += edge.weight * mean
        plain = answer_logits(twin, run.tokens, run.last, run.fill)
        torch.testing.assert_close(logits, plain)


def test_some_ablated_edge_changes_the_answer() -> None:
    run = random_run(SINK)
    for kind in EDGE_KINDS:
        edges = some_edges(run, kind, layer=0)
        assert any(not torch.equal(x, run.base) for _, x in without_each_edge(run, edges)), kind


@pytest.mark.parametrize("kind", EDGE_KINDS[3:], ids="-".join)
@CONFIGS
def test_ablating_every_weight_out_of_a_node_is_ablating_the_node(
    config: GPTConfig, kind: tuple[str, str, str]
) -> None:
    # A value with a sink too: its mean is mixed by the same pattern, the sink's share lost.
    run = random_run(config)
    block, source, target = kind
    source, target = Location(0, block, source), Location(0, block, target)
    weights = weight_between(run.model, source, target)
    for channel in masks_of(run)[source].nonzero().flatten().tolist():
        node = Node(source, channel)
        edges = [
            Edge(node, Node(target, row), weight)
            for row, weight in enumerate(weights[:, channel].tolist())
        ]
        torch.testing.assert_close(without_edges(run, edges), run.without((node,)))


def test_an_edge_whose_source_is_at_its_mean_is_worth_nothing() -> None:
    run = random_run(CUT)
    source, target = Location(1, "mlp", "act_in"), Location(1, "mlp", "post_act")
    still = int((~masks_of(run)[source]).nonzero()[0])
    edge = Edge(Node(source, still), Node(target, 0), 3.0)
    ((_, logits),) = without_each_edge(run, [edge])
    assert torch.equal(logits, run.base)


def test_ablating_edges_leaves_the_model_as_it_was() -> None:
    run = random_run(SINK)
    before = {name: x.clone() for name, x in run.model.state_dict().items()}
    for kind in EDGE_KINDS:
        list(without_each_edge(run, some_edges(run, kind, layer=1)[:3]))
    after = run.model.state_dict()
    assert all(torch.equal(x, after[name]) for name, x in before.items())


def test_edges_into_two_places_cannot_be_ablated_together() -> None:
    run = random_run(ADDED)
    edges = [some_edges(run, kind, layer=0)[0] for kind in EDGE_KINDS[:2]]
    with pytest.raises(ValueError, match="all into one location"):
        without_edges(run, edges)


def test_one_edge_by_hand() -> None:
    """One neuron writes one channel; its edge carries twice its excess over the mean."""
    run = random_run(ADDED)
    source, target = Location(1, "mlp", "post_act"), Location(1, "mlp", "resid_delta")
    alive = masks_of(run)
    neuron, channel = int(alive[source].nonzero()[0]), int(alive[target].nonzero()[0])
    weight_between(run.model, source, target)[channel, neuron] = 2.0
    run = resumable_run(run.model, alive, run.means, run.tokens, run.last)
    x = run.layer(1)["1.mlp.post_act"][..., neuron]
    excess = x - run.means.values[source][neuron]

    def by_hand(name: str, value: torch.Tensor) -> torch.Tensor:
        if name != "1.mlp.resid_delta":
            return value
        value = value.clone()
        value[..., channel] -= 2.0 * excess
        return value

    edge = Edge(Node(source, neuron), Node(target, channel), 2.0)
    ((_, logits),) = without_each_edge(run, [edge])
    torch.testing.assert_close(logits, run.resume(1, by_hand))
