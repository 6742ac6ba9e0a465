"""An experiment's changes to a circuit, against the masked model run anew."""

import threading

import pytest
import torch
from torch.nn import functional as F

from circuit_sparsity.core.names import FINAL_RESID, Location, Node, circuit_locations
from circuit_sparsity.experiment.experiment import Cancelled, Experiment
from tests.runtime.random_circuits import (
    EVERY_TOP_K,
    masked_margins,
    random_circuit,
    random_means,
    random_model,
    random_prompts,
)

SINK = {"sink": True, "n_layer": 2}


def experiment_of(share: float = 0.3, **options: object) -> Experiment:
    model = random_model(**options)
    circuit = random_circuit(model, share)
    return Experiment(circuit, model, random_means(model), random_prompts(model))


def loss_with_gates(opened: Experiment, gates: dict[str, torch.Tensor]) -> float:
    """The mean task loss with every node blended with its mean by its gate, in double precision."""
    means = {str(place): mean.double() for place, mean in opened.means.values.items()}
    tokens, last = opened.batch.tokens, opened.batch.last
    model = random_model(**SINK).double()

    def hook(name: str, x: torch.Tensor) -> torch.Tensor:
        return means[name] + gates[name] * (x - means[name]) if name in gates else x

    residual, _ = model.residual(tokens, hook)
    rows = torch.arange(len(tokens))
    logits = model.unembed(residual[rows, last], tokens[rows, last])
    return float(
        F.softplus(logits[rows, opened.batch.wrong] - logits[rows, opened.batch.right]).mean()
    )


def test_the_first_order_estimate_is_the_slope_of_the_loss_by_each_gate() -> None:
    opened = experiment_of(**SINK)
    gates = {str(place): mask.double() for place, mask in opened.alive.items()}
    for place in circuit_locations(2):
        for channel in (1, 3):
            on, step = bool(opened.alive[place][channel]), 1e-5
            losses = []
            for sign in (1, -1):
                moved = {name: gate.clone() for name, gate in gates.items()}
                moved[str(place)][channel] += sign * step
                losses.append(loss_with_gates(opened, moved))
            slope = (losses[0] - losses[1]) / (2 * step)
            expected = -slope if on else slope
            assert float(opened.importance[place][channel]) == pytest.approx(expected, abs=2e-5)


def test_importance_has_every_node_of_the_model() -> None:
    opened = experiment_of(afrac=0.3, afrac_loctypes=EVERY_TOP_K)
    assert [len(v) for v in opened.importance.values()] == [
        len(mask) for mask in opened.alive.values()
    ]


@pytest.mark.parametrize("options", [SINK, {"afrac": 0.3, "afrac_loctypes": EVERY_TOP_K}])
def test_an_added_node_is_the_larger_circuit(options: dict) -> None:
    opened = experiment_of(**options)
    places = (Location.parse("0.attn.v"), Location.parse("1.mlp.post_act"), FINAL_RESID)
    nodes = [Node(place, channel) for place in places for channel in range(6)]
    for effect in opened.add_each(nodes):
        (node,) = effect.parts
        assert isinstance(node, Node)
        larger = opened.circuit.with_nodes([node])
        margins = masked_margins(larger, opened.model, opened.means, opened.batch, [])
        torch.testing.assert_close(effect.after.losses, F.softplus(-margins), atol=1e-5, rtol=0)


def test_a_kept_node_is_not_added_twice() -> None:
    opened = experiment_of()
    effect = opened.add_each([opened.circuit.node_list[0]])[0]
    assert effect.delta == pytest.approx(0.0, abs=1e-6)


def test_parts_are_named_as_they_are_written() -> None:
    opened = experiment_of()
    node, edge = opened.circuit.node_list[3], opened.edges[2]
    assert opened.part(str(node)) == node
    assert opened.part(str(edge)) == edge
    assert opened.ablate([str(node), str(edge), str(node)]).parts == (node, edge)


def test_an_edge_that_no_weight_makes_is_named() -> None:
    opened = experiment_of()
    edge = opened.edges[0]
    with pytest.raises(ValueError, match=f"no weight leads from {edge.target} to {edge.source}"):
        opened.ablate([f"{edge.target}>{edge.source}"])


def test_zero_ablation_of_a_node_puts_zero_in_its_place() -> None:
    opened = experiment_of(**SINK)
    node = opened.circuit.node_list[-1]

    def hook(name: str, x: torch.Tensor) -> torch.Tensor:
        if name != str(node.location):
            return x
        x = x.clone()
        x[..., node.channel] = 0.0
        return x

    reference = opened.run(opened.alive, hook)
    after = opened.ablate([node], fill="zero").after
    torch.testing.assert_close(after.losses, reference.losses, atol=1e-5, rtol=0)


def test_many_ablations_report_progress_and_can_be_cancelled() -> None:
    opened, cancel, seen = experiment_of(share=0.5), threading.Event(), []
    assert opened.circuit.size > 64

    def progress(done: int, of: int) -> None:
        seen.append((done, of))
        cancel.set()

    with pytest.raises(Cancelled, match="stopped after 64 of"):
        opened.ablate_each(opened.circuit.node_list, progress, cancel)
    assert seen == [(64, opened.circuit.size)]


def test_many_additions_can_be_cancelled_and_the_experiment_goes_on() -> None:
    opened, cancel = experiment_of(share=0.1), threading.Event()
    outside = [node for place in opened.alive for node in _left_out(opened, place)]
    assert len(outside) > 64
    with pytest.raises(Cancelled, match="stopped after 64 of"):
        opened.add_each(outside, lambda done, of: cancel.set(), cancel)
    assert opened.add_each(outside[:1])[0].before.loss == opened.of_circuit.loss


def _left_out(opened: Experiment, place: Location) -> list[Node]:
    return [Node(place, int(c)) for c in (~opened.alive[place]).nonzero().flatten()]


def test_the_compiled_circuit_gives_the_masked_models_losses() -> None:
    opened = experiment_of(**SINK)
    expected = opened.run(opened.alive).losses
    torch.testing.assert_close(opened.compiled.losses(), expected, atol=1e-5, rtol=0)
