"""Parts patched at single tokens: against hooks written by hand in the plain masked model."""

import random

import pytest
import torch

from circuit_sparsity.circuits.edges import edges
from circuit_sparsity.core.attention import attention_pattern
from circuit_sparsity.core.hooks import Recorder, chain
from circuit_sparsity.runtime.ablation import answer_logits, mean_fill
from circuit_sparsity.runtime.activations import node_activations
from circuit_sparsity.runtime.compiled import compile_circuit
from circuit_sparsity.runtime.compiled.masked_run import full_run
from circuit_sparsity.runtime.interventions import Patch, hook_changed, margins_changed
from circuit_sparsity.tasks.task import answer_margin
from tests.runtime.random_circuits import random_circuit, random_means, random_model, random_prompts
from tests.runtime.test_interventions import OPTIONS, agree


@pytest.fixture(params=OPTIONS, scope="module")
def scene(request):
    model = random_model(5, **OPTIONS[request.param])
    means, batch = random_means(model), random_prompts(model, n=8)
    circuit = random_circuit(model, 0.5, seed=3)
    compiled = compile_circuit(circuit, model, means).on(batch, apart=True)
    return model, means, batch, circuit, compiled, full_run(circuit, model, means, batch)


def by_hand(scene, patches, circuit=True):
    """The masked (or the whole) model with a hook that writes the patched values of nodes."""
    model, means, batch, kept, *_ = scene

    def hook(name, x):
        for patch in patches:
            if str(patch.part.location) == name:
                x = x.clone()
                for prompt, pos in patch.at.nonzero().tolist():
                    new = patch.factor * x[prompt, pos, patch.part.channel]
                    x[prompt, pos, patch.part.channel] = new + patch.value[prompt, pos]
        return x

    alive = kept.masks(model.config) if circuit else None
    with torch.no_grad():
        logits = answer_logits(model, batch.tokens, batch.last, hook, alive, means)
    return answer_margin(logits, batch.right, batch.wrong)


def random_patches(scene, seed, most=6):
    draw, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    shape = scene[2].tokens.shape
    nodes = draw.sample(scene[3].node_list, draw.randint(1, most))
    return [
        Patch(
            node,
            torch.rand(shape, generator=generator) < draw.choice([0.1, 0.5]),
            torch.randn(shape, generator=generator),
            draw.choice([0.0, 0.0, 1.5, -1.0]),
        )
        for node in nodes
    ]


@pytest.mark.parametrize("seed", range(4))
def test_patched_nodes_are_those_of_a_hook_written_by_hand(scene, seed):
    sets = [random_patches(scene, 10 * seed + i) for i in range(6)]
    wanted = [by_hand(scene, patches) for patches in sets]
    for run in scene[4:]:
        for got, expected in zip(margins_changed(run, sets), wanted, strict=True):
            agree(got, expected)


def test_every_node_can_be_patched_alone_at_one_token(scene):
    _, _, batch, circuit, compiled, _ = scene
    at = torch.zeros(batch.tokens.shape, dtype=torch.bool)
    at[torch.arange(len(batch)), batch.last // 2] = True
    sets = [[Patch(node, at, torch.full(at.shape, 0.8))] for node in circuit.node_list]
    for got, patches in zip(margins_changed(compiled, sets), sets, strict=True):
        agree(got, by_hand(scene, patches))


def test_the_whole_model_is_patched_by_the_same_hook(scene):
    model, means, batch, *_ = scene
    patches = random_patches(scene, seed=77)
    with torch.no_grad():
        hook = hook_changed(None, model, means, patches)
        logits = answer_logits(model, batch.tokens, batch.last, hook)
    agree(answer_margin(logits, batch.right, batch.wrong), by_hand(scene, patches, circuit=False))


def test_the_values_of_a_compiled_run_are_the_masked_models(scene):
    model, means, batch, circuit, compiled, _ = scene
    hook = mean_fill(circuit.masks(model.config), means)
    wanted = node_activations(model, circuit.node_list, batch.tokens, hook)
    off = 0
    for node in circuit.node_list:
        if not compiled.folded.numbering.is_live(node.location):
            continue
        seen = torch.from_numpy(compiled.columns(node.location)) >= 0
        width = seen.shape[1]
        assert seen[torch.arange(len(batch)), batch.last].all()
        apart = (compiled.values(node) - wanted[node][:, :width])[seen].abs()
        off += int((apart > 1e-4).sum())
    assert off <= 3  # a top-k that hangs on a rounding


def test_patching_nothing_and_what_is_there_already_change_nothing(scene):
    _, _, batch, circuit, compiled, _ = scene
    nowhere = torch.zeros(batch.tokens.shape, dtype=torch.bool)
    node = circuit.node_list[0]
    own = [Patch(n, ~nowhere[:, : compiled.longest], compiled.values(n)) for n in circuit.node_list]
    nothing = Patch(node, nowhere, torch.ones(nowhere.shape))
    once = Patch(node, ~nowhere, torch.zeros(nowhere.shape), 1.0)
    for got in margins_changed(compiled, [[nothing], [once], own]):
        agree(got, compiled.margins())


def test_an_edge_at_some_tokens_is_its_weight_times_the_change_that_its_target_sees():
    model = random_model(5, sink=True)
    means, batch = random_means(model), random_prompts(model, n=8)
    circuit = random_circuit(model, 0.5, seed=3)
    run = full_run(circuit, model, means, batch)
    alive = circuit.masks(model.config)
    generator = torch.Generator().manual_seed(1)
    linear = [e for e in edges(circuit, model) if e.target.location.kind != "post_act"]
    for edge in linear[:: max(1, len(linear) // 12)]:
        at = torch.rand(batch.tokens.shape, generator=generator) < 0.4
        value = torch.randn(batch.tokens.shape, generator=generator)
        recorder = Recorder()
        source, target = edge.source, edge.target

        def hook(name, x, recorder=recorder, edge=edge, at=at, value=value):
            source, target = edge.source, edge.target
            if name != str(target.location):
                return x
            own = recorder.tensors[str(source.location)][..., source.channel]
            change = torch.where(at, value - own, 0.0)
            if source.location.kind == "v":
                layer, head = source.location.layer, source.channel // model.config.d_head
                q, k = (
                    recorder.tensors[f"{layer}.attn.{kind}"]
                    .unflatten(-1, (model.config.n_head, -1))[:, :, head]
                    .unsqueeze(1)
                    for kind in "qk"
                )
                sink = model.blocks[layer].attn.sink_logit[head : head + 1]
                pattern = attention_pattern(q, k, sink)[:, 0, :, 1:]
                change = (pattern @ change[..., None])[..., 0]
            x = x.clone()
            x[..., target.channel] += edge.weight * change
            return x

        with torch.no_grad():
            both = chain(recorder, hook)
            logits = answer_logits(model, batch.tokens, batch.last, both, alive, means)
        wanted = answer_margin(logits, batch.right, batch.wrong)
        agree(margins_changed(run, [[Patch(edge, at, value)]])[0], wanted)
        assert source in circuit.node_list
        assert target in circuit.node_list
