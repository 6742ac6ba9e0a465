"""Patching maps and interchange: against single recipes, hooks, and what must hold."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from circuit_sparsity.circuits.recipe import Recipe
from circuit_sparsity.core.hooks import Recorder, chain
from circuit_sparsity.experiment.opening import open_circuit
from circuit_sparsity.experiment.sources import token_rows
from circuit_sparsity.patching.interchange import interchange, interchange_each
from circuit_sparsity.patching.map import class_map, parts_by, patching_map, steps_for
from circuit_sparsity.patching.pairs import pairs_of
from circuit_sparsity.runtime.ablation import answer_logits, mean_fill
from circuit_sparsity.runtime.compiled.masked_run import full_run


@pytest.fixture(scope="module")
def circuit():
    opened = open_circuit("starter", "single_double_quote", "prune", "k44_seed0")
    return replace(opened, batch=opened.batch.select(range(6)))


def hooked(circuit, prompt, nodes, positions):
    """The masked dense model with ``nodes`` at ``positions`` from the pair's other prompt."""
    batch, n = circuit.batch, circuit.batch.n_pairs
    other = (prompt + n) % (2 * n)
    fill = mean_fill(circuit.alive, circuit.means)
    length = int(batch.last[prompt]) + 1
    assert length == int(batch.last[other]) + 1
    source = Recorder()
    row = lambda i: (batch.tokens[i : i + 1, :length], batch.last[i : i + 1])  # noqa: E731

    def write(name, x):
        for node in nodes:
            if str(node.location) == name:
                x = x.clone()
                new = source.tensors[name][0, positions, node.channel]
                x[0, positions, node.channel] = new
        return x

    with torch.no_grad():
        answer_logits(circuit.model, *row(other), chain(fill, source))
        logits = answer_logits(circuit.model, *row(prompt), chain(fill, write))[0]
    return float(logits[batch.right[prompt]] - logits[batch.wrong[prompt]])


def test_cells_are_hooked_forward_passes(circuit):
    found = patching_map(circuit, 1)
    assert list(found.parts) == [str(node) for node in circuit.circuit.node_list]
    cells = [(row, len(found.tokens) - 1 - row % 3) for row in range(0, 44, 6)]
    for name, pos, _ in found.strongest(8):
        cells.append((list(found.parts).index(name), pos))
    nodes = list(found.parts.values())
    for row, pos in cells:
        wanted = hooked(circuit, 1, nodes[row], [pos])
        assert float(found.log_odds[row, pos]) == pytest.approx(wanted, abs=2e-4)


@pytest.mark.parametrize("by", ["head", "block", "location"])
def test_groups_are_patched_together(circuit, by):
    found = patching_map(circuit, 0, by)
    for name, pos, _ in found.strongest(3):
        wanted = hooked(circuit, 0, found.parts[name], [pos])
        row = list(found.parts).index(name)
        assert float(found.log_odds[row, pos]) == pytest.approx(wanted, abs=2e-4)


def test_groups_share_out_the_circuit(circuit):
    nodes = circuit.circuit.node_list
    for by in ("node", "block", "location"):
        parts = parts_by(circuit.circuit, 16, by)
        assert sorted(n for some in parts.values() for n in some) == sorted(nodes)
    heads = parts_by(circuit.circuit, 16, "head")
    assert all(
        node.channel // 16 == int(name.split("head")[1])
        for name, some in heads.items()
        for node in some
    )


def test_all_nodes_at_all_tokens_give_the_other_prompts_answer_and_none_this_ones(circuit):
    pairs = pairs_of(circuit)
    everywhere = np.zeros(tuple(pairs.batch.tokens.shape), dtype=np.int64)
    changes = [(node, everywhere) for node in circuit.circuit.node_list]
    assert pairs.margins(1, changes)[0] == pytest.approx(pairs.there.numpy(), abs=1e-4)
    nothing = [(node, everywhere - 1) for node in circuit.circuit.node_list]
    assert torch.equal(pairs.margins(1, nothing)[0], pairs.here)
    assert pairs.there == pytest.approx(-pairs.here.roll(len(pairs.batch) // 2).numpy(), abs=1e-4)


def test_the_step_of_a_cell_does_what_the_cell_says(circuit):
    found = patching_map(circuit, 2)
    name, pos, _ = found.strongest(1)[0]
    recipe = steps_for(found.parts[name], pos, last=len(found.tokens) - 1)
    one = replace(circuit, batch=circuit.batch.select([2]))  # positions are this pair's
    after = one.apply(recipe).after.losses[0]
    row = list(found.parts).index(name)
    assert float(torch.nn.functional.softplus(-found.log_odds[row, pos])) == pytest.approx(
        float(after), abs=1e-4
    )
    assert Recipe.parse(map(str, recipe)) == recipe


def test_a_model_that_is_not_folded_gives_the_same_cells(circuit):
    pairs = pairs_of(circuit, [1])
    full = replace(pairs, run=full_run(circuit.circuit, circuit.model, circuit.means, pairs.batch))
    node = circuit.circuit.node_list[5]
    chosen = np.arange(pairs.batch.tokens.shape[1])[None]
    count = chosen.size
    assert full.margins(count, [(node, chosen)]) == pytest.approx(
        pairs.margins(count, [(node, chosen)]).numpy(), abs=2e-4
    )


def test_classes_are_means_over_prompts_of_patching_all_their_tokens(circuit):
    found = class_map(circuit)
    pairs = pairs_of(circuit)
    node = circuit.circuit.node_list[-1]
    last = torch.arange(pairs.batch.tokens.shape[1])[None] == pairs.batch.last[:, None]
    chosen = torch.where(last, 0, -1).numpy()
    after = pairs.margins(1, [(node, chosen)])[0].mean()
    share = (after - pairs.here.mean()) / (pairs.there.mean() - pairs.here.mean())
    assert float(found.share[-1, 0]) == pytest.approx(float(share), abs=1e-5)
    assert found.prompts == 12
    assert found.share.shape == (44, 3)


def test_interchange_of_the_whole_circuit_always_flips_the_answer(circuit):
    found = interchange(circuit, circuit.circuit.node_list, draws=2)
    assert found.accuracy == 1.0
    assert found.random == (1.0, 1.0)
    assert 0 < found.counted <= found.prompts == 12


def test_interchange_of_a_node_is_the_share_of_flipped_answers(circuit):
    each = interchange_each(circuit)
    best = max(each, key=lambda one: one.accuracy)
    pairs = pairs_of(circuit)
    counts = (pairs.here > 0) & (pairs.there < 0)
    flips = []
    for prompt in range(12):
        everywhere = list(range(len(token_rows(circuit.batch)[prompt])))
        flips.append(hooked(circuit, prompt, best.nodes, everywhere) < 0)
    assert best.accuracy == pytest.approx(float(torch.tensor(flips)[counts].float().mean()))
    assert len(best.random) == 43


def test_what_cannot_be_patched_is_said(circuit):
    with pytest.raises(ValueError, match="there is no prompt 12"):
        patching_map(circuit, 12)
    with pytest.raises(ValueError, match="at least one"):
        interchange(circuit, [])
    with pytest.raises(ValueError, match="does not keep"):
        interchange(circuit, ["0.attn.k:211"])
