"""Every measure on models whose losses are known from paper, or counted by brute force."""

import dataclasses
import json
import math
import threading

import pytest
import torch

from circuit_sparsity.circuits.found import Found, Removal
from circuit_sparsity.circuits.node_vector import Layout
from circuit_sparsity.evidence.curves import areas, curve, fraction_sizes
from circuit_sparsity.evidence.definitions import DEFINITIONS, FURTHER
from circuit_sparsity.evidence.evidence import Control, CurvePoint, Evidence
from circuit_sparsity.evidence.measures import (
    RANDOM,
    RANDOM_PER_LOCATION,
    divergence,
    learnable_nodes,
    measure,
    random_nodes,
)
from circuit_sparsity.experiment.experiment import Cancelled, Experiment, faithfulness
from circuit_sparsity.pruning.size import log_grid
from tests.handmade import LN2, MARGIN_OF_4, HandMade, circuit_of, sign_model, softplus

MODEL_LOSS = sum(softplus(-(8**0.5) * 3 / rms) for rms in (5**0.5, (9.25 / 2) ** 0.5)) / 2


def experiment(made: HandMade) -> Experiment:
    return Experiment(made.circuit, made.model, made.means, made.batch)


def test_losses_are_those_on_paper_and_faithfulness_is_their_ratio() -> None:
    found = measure(experiment(sign_model()), draws=0)
    assert found.sufficiency == pytest.approx(MARGIN_OF_4, abs=1e-6)
    assert found.empty_loss == pytest.approx(LN2, abs=1e-6)
    assert found.model_loss == pytest.approx(MODEL_LOSS, abs=1e-6)
    assert found.faithfulness == pytest.approx((MARGIN_OF_4 - LN2) / (MODEL_LOSS - LN2), abs=1e-5)
    # Without the circuit channel 1 is at its mean, and nothing tells the answers apart.
    assert found.necessity == pytest.approx(LN2, abs=1e-6)
    assert found.completeness == pytest.approx(0.0, abs=1e-5)


def test_kl_is_that_of_the_two_distributions() -> None:
    # Over three tokens: (1/2, 1/4, 1/4) from (1/4, 1/4, 1/2), and the same from the same.
    one = torch.tensor([[2.0, 1.0, 1.0], [2.0, 1.0, 1.0]]).log()
    other = torch.tensor([[1.0, 1.0, 2.0], [2.0, 1.0, 1.0]]).log()
    expected = (0.5 * math.log(2) + 0.25 * math.log(0.5)) / 2
    assert divergence(one, other) == pytest.approx(expected, abs=1e-7)


def test_kl_of_the_circuit_is_summed_over_the_vocabulary() -> None:
    opened = experiment(sign_model())
    p, q = (opened.logits(alive).softmax(dim=-1).tolist() for alive in (None, opened.alive))
    by_hand = [
        sum(a * math.log(a / b) for a, b in zip(p_row, q_row, strict=True))
        for p_row, q_row in zip(p, q, strict=True)
    ]
    assert measure(opened, draws=0).kl == pytest.approx(sum(by_hand) / 4, abs=1e-6)


def test_the_circuit_answers_as_the_model_and_half_a_circuit_on_half_of_the_prompts() -> None:
    made = sign_model()
    whole = measure(experiment(made), draws=0)
    assert (whole.exact_match, whole.exact_match_full) == (1.0, 1.0)
    # Without its read the neuron is silent and both signs write -3: token 5 everywhere.
    nodes = tuple(node for node in made.nodes if node != "0.mlp.act_in:0")
    circuit = circuit_of(made.model.config, nodes)
    half = measure(Experiment(circuit, made.model, made.means, made.batch), draws=0)
    assert (half.exact_match, half.exact_match_full) == (0.5, 0.5)


def test_minimality_is_the_rise_of_each_ablation_alone() -> None:
    opened = experiment(sign_model())
    expected = {str(e.parts[0]): e.delta for e in opened.ablate_each(opened.circuit.node_list)}
    assert measure(opened, draws=0).minimality == pytest.approx(expected, abs=1e-6)


def test_sparsity_counts_what_is_live_and_what_there_is() -> None:
    opened = experiment(sign_model())
    found = measure(opened, draws=0)
    # Live in the whole model: channel 0 is read by the MLP and leads over neuron 0 to channel 1.
    # Neurons 1 and 2 end in channel 0, which no answer reads.
    assert learnable_nodes(opened) == 4
    assert found.relative_sparsity == 1.0
    assert found.full_sparsity == 4 / 16


def test_random_circuits_are_run_alone_and_ablated() -> None:
    opened = experiment(sign_model())
    found = measure(opened, draws=3)
    for name, per_location in ((RANDOM, False), (RANDOM_PER_LOCATION, True)):
        control = found.control(name)
        assert control is not None
        for seed in range(3):
            drawn = random_nodes(opened.model.config, opened.circuit, seed, per_location)
            other = Experiment(drawn, opened.model, opened.means, opened.batch)
            assert control.losses[seed] == pytest.approx(other.of_circuit.loss, abs=1e-6)
            assert control.necessities[seed] == pytest.approx(other.of_complement.loss, abs=1e-6)


def test_a_control_as_good_as_the_circuit_is_called_out() -> None:
    fine = Control("c", "p", (0.6, 0.7), 0.1, (0.02, 0.03), 0.9)
    assert fine.trouble is None
    low = Control("c", "p", (0.6, 0.09), 0.1)
    assert "a loss of 0.0900 nats, the circuit 0.1000" in str(low.trouble)
    needed = Control("c", "p", (0.6, 0.7), 0.1, (0.02, 0.95), 0.9)
    assert "no more necessary" in str(needed.trouble)


def test_a_circuit_that_fails_on_new_prompts_is_called_out() -> None:
    made = sign_model()
    opened = experiment(made)
    loss = opened.of_circuit.loss
    for target, far in ((0.6 * loss, False), (0.4 * loss, True)):
        circuit = dataclasses.replace(made.circuit, found=Found(target=target))
        found = measure(dataclasses.replace(opened, circuit=circuit), draws=0)
        assert found.target == target
        assert len(found.troubles) == far
    assert f"its loss is {loss:.4f} on" in found.troubles[0]


def test_a_circuit_that_is_its_own_control_is_called_out() -> None:
    made = sign_model()
    everything = tuple(
        f"{place}:{channel}"
        for place in made.circuit.nodes
        for channel in range(made.model.config.width(place))
    )
    opened = Experiment(
        circuit_of(made.model.config, everything), made.model, made.means, made.batch
    )
    assert len(measure(opened, draws=1).troubles) == 2  # any 16 of 16 nodes are the same 16


def test_faithfulness_without_a_distance_between_model_and_nothing_is_undefined() -> None:
    assert faithfulness(0.3, model=0.69, empty=0.693) is None
    assert faithfulness(0.05, model=0.1, empty=0.6) == pytest.approx(1.1)


def test_the_curve_is_the_loss_of_each_nested_circuit() -> None:
    opened = experiment(sign_model())
    layout = Layout(opened.model.config)
    circuit = torch.tensor([layout.index(node) for node in opened.circuit.node_list])
    others = torch.tensor([i for i in range(16) if i not in circuit.tolist()])
    points = {p.nodes: p for p in curve(opened, torch.cat((circuit, others)))}
    assert list(points) == [1, 2, 3, 4, 8, 16]
    assert points[1].loss == pytest.approx(LN2, abs=1e-6)
    assert points[4].loss == pytest.approx(MARGIN_OF_4, abs=1e-6)
    assert points[16].loss == pytest.approx(MODEL_LOSS, abs=1e-6)
    assert points[16].faithfulness == pytest.approx(1.0)


def test_areas_are_mean_heights() -> None:
    # Faithfulness 0 at 1, 1.5 at 2, 1 at 4. By nodes: (0.75·1 + 1.25·2)/3; in logarithms each
    # piece counts the same. Distances from 1 are 1, 0.5, 0.
    points = [CurvePoint(1, 0.0, 0.0), CurvePoint(2, 0.0, 1.5), CurvePoint(4, 0.0, 1.0)]
    assert areas(points, (1, 2, 4), log=False) == pytest.approx((3.25 / 3, 1.25 / 3))
    assert areas(points, (1, 2, 4), log=True) == pytest.approx((1.0, 0.5))


def test_both_grids_have_their_areas() -> None:
    opened = experiment(sign_model())
    order = torch.arange(16).flip(0)
    found = measure(opened, order, "backwards", draws=0)
    assert found.ranking == "backwards"
    assert {p.nodes for p in found.curve} == {*fraction_sizes(16), *log_grid(16)}
    assert (found.cpr, found.cmd) == areas(found.curve, fraction_sizes(16), log=False)
    assert (found.cpr_log, found.cmd_log) == areas(found.curve, log_grid(16), log=True)


def test_evidence_survives_json() -> None:
    found = measure(experiment(sign_model()), torch.arange(16), "by number", draws=2)
    assert Evidence.from_dict(json.loads(json.dumps(found.to_dict()))) == found


@pytest.mark.parametrize("raw", [None, [], {}, {"format": 1}, {"format": 2, "nodes": 4}])
def test_what_is_no_evidence_is_refused(raw: object) -> None:
    with pytest.raises(ValueError, match="measure it again"):
        Evidence.from_dict(raw)


def test_every_definition_is_of_a_field() -> None:
    fields = set(Evidence.__dataclass_fields__)
    every = DEFINITIONS | FURTHER
    assert set(every) <= fields
    assert all(one.sentence.endswith(".") for one in every.values())


def test_measuring_can_be_cancelled() -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled, match="stopped after 0 of"):
        measure(experiment(sign_model()), cancel=cancel)


def test_needed_edges_are_those_not_found_spare_and_their_loss_is_without_the_rest() -> None:
    made = sign_model()
    nodes = (*made.nodes, "0.mlp.post_act:2", "0.mlp.resid_delta:0")
    spare = [["0.mlp.act_in:0", "0.mlp.post_act:2"], ["0.mlp.post_act:2", "0.mlp.resid_delta:0"]]
    ends = tuple(map(tuple, spare))
    found = Found(minimality=Removal(None, 6, 4, 6, 4, 2, ends, 0.0))
    circuit = dataclasses.replace(circuit_of(made.model.config, nodes), found=found)
    opened = Experiment(circuit, made.model, made.means, made.batch)
    measured = measure(opened, draws=0)
    assert (measured.edges, measured.edges_needed) == (4, 2)
    gone = [edge for edge in opened.edges if [str(edge.source), str(edge.target)] in spare]
    assert measured.loss_of_needed == pytest.approx(opened.ablate(gone).after.loss, abs=1e-6)
    assert measure(experiment(made), draws=0).edges_needed is None
