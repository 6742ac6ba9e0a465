"""Input attribution, direct logit attribution and logit lens: sums, yardsticks, dense models."""

from dataclasses import replace

import pytest
import torch

from circuit_sparsity.core.hooks import Recorder
from circuit_sparsity.core.names import Node
from circuit_sparsity.experiment.experiment import Experiment
from circuit_sparsity.experiment.opening import open_circuit
from circuit_sparsity.patching.inputs import attribute_inputs
from circuit_sparsity.patching.logits import direct_logits, logit_lens
from circuit_sparsity.runtime.ablation import answer_logits
from circuit_sparsity.tasks.task import answer_margin
from tests.handmade import sign_model
from tests.runtime.random_circuits import random_circuit, random_means, random_model, random_prompts


@pytest.fixture(scope="module")
def circuit():
    opened = open_circuit("starter", "single_double_quote", "prune", "k44_seed0")
    return replace(opened, batch=opened.batch.select(range(3)))


def margins(circuit, tokens, prompt, whole):
    batch = circuit.batch
    alive = None if whole else circuit.alive
    last = torch.full((len(tokens),), tokens.shape[1] - 1)
    with torch.no_grad():
        logits = answer_logits(circuit.model, tokens, last, alive=alive, means=circuit.means)
    answers = (batch.right[prompt].expand(len(tokens)), batch.wrong[prompt].expand(len(tokens)))
    return answer_margin(logits, *answers)


@pytest.mark.parametrize("whole", [False, True])
def test_a_replacement_is_the_run_on_the_changed_prompt(circuit, whole):
    found = attribute_inputs(circuit, 0, whole, ("replacement",))
    row, other = circuit.batch.tokens[0], circuit.batch.tokens[3]
    length = len(found.tokens)
    changed = [i for i in range(length) if row[i] != other[i]]
    own = margins(circuit, row[None, :length], 0, whole)[0]
    for i in range(length):
        swapped = row[:length].clone()
        swapped[i] = other[i]
        fall = float(own - margins(circuit, swapped[None], 0, whole)[0]) if i in changed else 0.0
        assert float(found.values["replacement"][i]) == pytest.approx(fall, abs=1e-4)


def test_shapley_values_and_integrated_gradients_add_up_to_the_way_from_the_baseline():
    """Completeness, on a small random model in which the way is short enough for 32 steps."""
    model = random_model(3, activation_type="gelu", sink=True)
    means, batch = random_means(model), random_prompts(model, n=4)
    circuit = Experiment(random_circuit(model, 0.7, seed=1), model, means, batch)
    from circuit_sparsity.patching import inputs

    answer = inputs._Answer(model, inputs.no_hook, inputs.pairs_of(circuit, [0]))
    away = float(answer.whole - answer.log_odds(answer.baseline[None])[0])
    found = attribute_inputs(circuit, 0, True, ("shapley", "occlusion"))
    assert float(found.values["shapley"].sum()) == pytest.approx(away, abs=1e-3)
    many = answer.along_the_path(2000)
    assert float(many.sum()) == pytest.approx(away, abs=0.05 * max(1.0, abs(away)))
    one = answer.embedded.clone()
    one[0] = answer.baseline[0]
    fall = float(answer.whole - answer.log_odds(one[None])[0])
    assert float(found.values["occlusion"][0]) == pytest.approx(fall, abs=1e-4)


def test_a_gradient_is_what_a_small_step_towards_the_baseline_costs(circuit):
    from circuit_sparsity.patching import inputs

    pairs = inputs.pairs_of(circuit, [0])
    fill = inputs.mean_fill(circuit.alive, circuit.means)
    answer = inputs._Answer(circuit.model, fill, pairs)
    slopes = answer.along_the_path(1)
    pos = int(slopes.abs().argmax())
    step, moved = 1e-3, answer.embedded.clone()
    moved[pos] -= step * (answer.embedded - answer.baseline)[pos]
    fall = float(answer.whole - answer.log_odds(moved[None])[0]) / step
    assert float(slopes[pos]) == pytest.approx(fall, rel=0.05, abs=0.02)


@pytest.mark.parametrize("whole", [False, True])
def test_direct_contributions_close(circuit, whole):
    found = direct_logits(circuit, 1, whole)
    own = margins(circuit, circuit.batch.tokens[1:2, : int(circuit.batch.last[1]) + 1], 1, whole)
    assert found.log_odds == pytest.approx(float(own[0]), abs=1e-4)
    total = found.embedding + sum(found.writes.values()) + found.constant
    assert total == pytest.approx(found.log_odds, abs=1e-4)
    if whole:  # the constant is the biases alone: final bias and the bigram table
        model, batch = circuit.model, circuit.batch
        right, wrong, last = batch.right[1], batch.wrong[1], batch.tokens[1, batch.last[1]]
        bias = model.final_logits_bias[right] - model.final_logits_bias[wrong]
        bias = bias + model.bigram_table[last, right] - model.bigram_table[last, wrong]
        assert found.constant == pytest.approx(float(bias), abs=2e-3)


def test_the_hand_made_models_answer_comes_from_its_one_neuron():
    """Channel 1 alone is kept at the end: 3 of a norm of 3/sqrt(2), read with ±sqrt(2): 4 nats."""
    made = sign_model()
    circuit = Experiment(made.circuit, made.model, made.means, made.batch)
    found = direct_logits(circuit, 0)
    assert found.writes == {Node.parse("0.mlp.resid_delta:1"): pytest.approx(4.0, abs=1e-4)}
    assert found.embedding == pytest.approx(0.0, abs=1e-5)
    # The neuron is 1 and writes 6·1; the bias -3 is no neuron's.
    assert found.sources == {Node.parse("0.mlp.post_act:0"): pytest.approx(8.0, abs=1e-4)}


@pytest.mark.parametrize("whole", [False, True])
def test_the_lens_ends_in_the_run_itself_and_reads_each_stream(circuit, whole):
    found = logit_lens(circuit, 0, whole)
    length = int(circuit.batch.last[0]) + 1
    own = margins(circuit, circuit.batch.tokens[:1, :length], 0, whole)[0]
    assert float(found.log_odds[-1, -1]) == pytest.approx(float(own), abs=1e-4)
    assert found.depths[0] == "0.resid_in"
    assert found.depths[-1] == "final_resid"
    assert len(found.depths) == 2 * circuit.model.config.n_layer + 1
    if whole:
        recorder = Recorder(r"1\.resid_in$")
        with torch.no_grad():
            tokens = circuit.batch.tokens[:1, :length]
            circuit.model.residual(tokens, recorder)
            wanted = circuit.model.unembed(recorder.tensors["1.resid_in"], tokens)[0]
        assert torch.allclose(found.logits[found.depths.index("1.resid_in")], wanted, atol=1e-4)


def test_a_stream_that_is_no_sum_is_refused():
    model = random_model(1, residual_activation_type="relu")
    other = Experiment(
        random_circuit(model, 0.5), model, random_means(model), random_prompts(model, n=2)
    )
    with pytest.raises(ValueError, match="stream that is a sum"):
        direct_logits(other, 0)
