"""Parts set to values or scaled: against hooks and changed weights in the plain masked model."""

import copy
import random

import pytest
import torch

from circuit_sparsity.circuits.edges import edges, weight_between
from circuit_sparsity.circuits.recipe import MEAN, ZERO, Level
from circuit_sparsity.core.names import Node
from circuit_sparsity.runtime.ablation import answer_logits
from circuit_sparsity.runtime.compiled import compile_circuit
from circuit_sparsity.runtime.compiled.masked_run import full_run
from circuit_sparsity.runtime.interventions import margins_changed
from circuit_sparsity.tasks.task import answer_margin
from tests.runtime.random_circuits import (
    EVERY_TOP_K,
    random_circuit,
    random_means,
    random_model,
    random_prompts,
)

TOP_K = {"afrac": 0.3, "afrac_loctypes": EVERY_TOP_K}
OPTIONS = {
    "plain": {},
    "sink and a top-k": {"sink": True, **TOP_K},
    "positions and a top-k": {"d_pos_emb": 6, "n_layer": 3, **TOP_K},
    "LayerNorm": {"rms_norm": False, "sink": True},
    "relu on the residual stream": {"residual_activation_type": "relu"},
}


@pytest.fixture(params=OPTIONS, scope="module")
def scene(request):
    model = random_model(5, **OPTIONS[request.param])
    means, batch = random_means(model), random_prompts(model, n=8)
    circuit = random_circuit(model, 0.5, seed=3)
    runs = (
        compile_circuit(circuit, model, means).on(batch),
        full_run(circuit, model, means, batch),
    )
    return model, means, batch, circuit, runs


def masked(scene, hook, model=None):
    own, means, batch, circuit, _ = scene
    alive = circuit.masks(own.config)
    with torch.no_grad():
        logits = answer_logits(model or own, batch.tokens, batch.last, hook, alive, means)
    return answer_margin(logits, batch.right, batch.wrong)


def held(changes, means):
    """A hook that changes nodes as their levels say."""

    def hook(name, x):
        for node, level in changes:
            if str(node.location) == name:
                x = x.clone()
                own = x[..., node.channel]
                x[..., node.channel] = {
                    "mean": torch.full_like(own, float(means.values[node.location][node.channel])),
                    "zero": torch.zeros_like(own),
                    "set": torch.full_like(own, level.value),
                    "scale": level.value * own,
                }[level.how]
        return x

    return hook


def agree(got, wanted):
    """But where a top-k hangs on a rounding, which may turn one prompt of the eight."""
    off = (got - wanted).abs() > 2e-4 * max(1.0, float(wanted.abs().max()))
    assert int(off.sum()) <= 1, (got, wanted)


def one_of_each_place(circuit, seed):
    draw = random.Random(seed)
    return [Node(place, draw.choice(kept)) for place, kept in circuit.nodes.items() if kept]


@pytest.mark.parametrize(
    "level", [Level("set", 1.7), Level("scale", 2.5), Level("scale", -1.0)], ids=str
)
def test_a_node_at_a_level_is_that_node_replaced_in_the_masked_model(scene, level):
    nodes = one_of_each_place(scene[3], seed=1)
    sets = [[(node, level)] for node in nodes] + [[(node, level) for node in nodes[::2]]]
    for run in scene[4]:
        for got, changes in zip(margins_changed(run, sets), sets, strict=True):
            agree(got, masked(scene, held(changes, scene[1])))


def test_levels_of_all_kinds_go_together_in_one_recipe(scene):
    nodes = one_of_each_place(scene[3], seed=2)
    levels = [MEAN, ZERO, Level("set", -0.5), Level("scale", 0.5)]
    changes = [(node, levels[i % 4]) for i, node in enumerate(nodes)]
    for run in scene[4]:
        agree(margins_changed(run, [changes])[0], masked(scene, held(changes, scene[1])))


def test_a_scaled_edge_is_the_model_with_that_weight_scaled(scene):
    model, *_ = scene
    joins = edges(scene[3], model)
    for edge in joins[:: max(1, len(joins) // 10)]:
        changed = copy.deepcopy(model)
        source, target = edge.source, edge.target
        weight = weight_between(changed, source.location, target.location)
        with torch.no_grad():
            weight[target.channel, source.channel] *= 3.0
        wanted = masked(scene, lambda name, x: x, changed)
        for run in scene[4]:
            agree(margins_changed(run, [[(edge, Level("scale", 3.0))]])[0], wanted)


def test_an_edge_set_to_its_mean_or_to_zero_is_the_edge_ablated(scene):
    _, means, _, circuit, runs = scene
    joins = edges(circuit, scene[0])
    for edge in joins[:: max(1, len(joins) // 10)]:
        mean = float(means.values[edge.source.location][edge.source.channel])
        for run in runs:
            for fill, value in (("mean", mean), ("zero", 0.0)):
                (wanted,) = run.margins_without([[edge]], fill)
                agree(margins_changed(run, [[(edge, Level("set", value))]])[0], wanted)
                level = MEAN if fill == "mean" else ZERO
                agree(margins_changed(run, [[(edge, level)]])[0], wanted)


def test_no_change_and_a_factor_of_one_are_the_circuit(scene):
    node = scene[3].node_list[0]
    for run in scene[4]:
        nothing, once = margins_changed(run, [[], [(node, Level("scale", 1.0))]])
        agree(nothing, run.margins())
        agree(once, run.margins())


def test_one_call_holds_a_part_at_one_level(scene):
    node = scene[3].node_list[0]
    with pytest.raises(ValueError, match="two calls"):
        margins_changed(scene[4][0], [[(node, MEAN)], [(node, ZERO)]])
    with pytest.raises(ValueError, match="does not keep"):
        margins_changed(scene[4][0], [[(Node.parse("0.attn.q:999"), MEAN)]])
