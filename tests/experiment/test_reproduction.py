"""What files of the release's form store, computed again: exactly, or said where it is not."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from handmade import LN2, sign_model

from circuit_sparsity.core.hooks import Recorder, chain
from circuit_sparsity.core.model import GPT, GPTConfig
from circuit_sparsity.core.names import Node
from circuit_sparsity.experiment.answers import pair_of_losses, pairs_of_loss
from circuit_sparsity.experiment.experiment import Cancelled, Experiment
from circuit_sparsity.experiment.measurement import measure_stored
from circuit_sparsity.experiment.reproduction import NearTies, reproduce
from circuit_sparsity.release import StoredCircuit, read_viz
from circuit_sparsity.runtime.assemble import with_engine
from circuit_sparsity.tasks.task import two_way_loss
from tests.release.cases import CIRCUITS, YOLO1, YOLO2, open_experiment


@pytest.fixture
def opened(release_fixture: Path):
    def open_at(name: str) -> tuple[StoredCircuit, Experiment]:
        stored = read_viz(release_fixture / "viz" / name / "viz_data.pt")
        return stored, open_experiment(release_fixture, name)

    return open_at


@pytest.mark.parametrize("name", CIRCUITS)
def test_every_stored_number_of_the_fixture_is_computed_again(opened, name: str) -> None:
    stored, experiment = opened(name)
    result = reproduce(stored, experiment)
    assert result.agrees
    assert result.losses["nodes"].count == stored.circuit.size
    assert max(d.largest for d in result.losses.values()) < 1e-6
    for found in result.activations.values():
        cells = stored.task_samples.tokens.numel() * stored.circuit.size
        assert found.count + found.near_ties == cells
        assert found.largest < 2.0**-8  # half a step of float16 between 8 and 16


def test_answers_that_the_file_does_not_name_are_found_by_its_losses(opened) -> None:
    stored, experiment = opened(f"{YOLO1}/16")
    logits = experiment.logits(None), experiment.logits(experiment.alive)
    losses = stored.model_loss, stored.circuit_loss
    found = pair_of_losses(*zip(logits, losses, strict=True), 1e-5)
    assert found == (int(experiment.batch.right[0]), int(experiment.batch.wrong[0]))
    assert pair_of_losses((logits[0], 99.0), (logits[1], losses[1]), 1e-5) is None
    assert pair_of_losses((logits[0], losses[0]), (logits[1], 99.0), 1e-5) is None


def test_a_stored_loss_that_is_wrong_is_named(opened) -> None:
    stored, experiment = opened(f"{YOLO1}/16")
    node = stored.circuit.node_list[3]
    losses = dict(stored.node_losses)
    losses[node] += 0.125
    result = reproduce(replace(stored, node_losses=losses), experiment)
    assert not result.agrees
    found = result.losses["nodes"]
    assert (found.beyond, found.at) == (1, str(node))
    assert found.largest == pytest.approx(0.125, abs=1e-5)


def test_another_model_is_noticed_in_its_activations(opened) -> None:
    stored, experiment = opened(f"{YOLO1}/16")
    other = GPT(experiment.model.config).requires_grad_(False)
    other.load_state_dict(experiment.model.state_dict())
    other.transformer.wte.weight.mul_(1.01)  # type: ignore[union-attr]
    result = reproduce(stored, replace(experiment, model=other))
    assert result.activations["model"].beyond > 0


def test_other_prompts_than_the_files_are_refused(opened) -> None:
    stored, experiment = opened(f"{YOLO1}/16")
    batch = replace(experiment.batch, tokens=experiment.batch.tokens + 1)
    with pytest.raises(ValueError, match="make the circuit again"):
        reproduce(stored, replace(experiment, batch=batch))


def test_a_file_that_holds_the_first_pairs_alone_is_compared_with_those() -> None:
    hand = sign_model()
    experiment = Experiment(hand.circuit, hand.model, hand.means, hand.batch)
    first = replace(experiment, batch=hand.batch.select([0]))
    assert reproduce(measure_stored(first), experiment).prompts == 2


def test_a_cancelled_reproduction_stops_at_the_next_run(opened) -> None:
    cancel = threading.Event()

    def progress(done: int, of: int) -> None:
        if done == 6:
            cancel.set()

    with pytest.raises(Cancelled, match="stopped after 7 of"):
        reproduce(*opened(f"{YOLO1}/16"), progress, cancel)


def test_progress_counts_up_to_the_end(opened) -> None:
    seen: list[tuple[int, int]] = []
    reproduce(*opened(f"{YOLO1}/16"), lambda done, of: seen.append((done, of)))
    assert seen == [(done, seen[0][1]) for done in range(seen[0][1] + 1)]


def test_pairs_of_a_loss_are_those_that_have_it() -> None:
    # Two prompts, token 1 ahead by 1 in the first and behind by 1 in the second.
    logits = torch.tensor([[0.0, 1.0, 0.0], [0.0, -1.0, 0.0]])
    same = pairs_of_loss(logits, LN2, 1e-6).tolist()
    assert sorted(same) == [[0, 2], [2, 0]]
    first_right = torch.tensor([1, 0])
    loss = float(two_way_loss(logits, first_right, 1 - first_right).mean())
    assert sorted(pairs_of_loss(logits, loss, 1e-6).tolist()) == [[1, 0], [1, 2]]


@pytest.mark.parametrize("sinks", [False, True])
def test_what_goes_into_each_top_k_is_computed_again_exactly(opened, sinks: bool) -> None:
    """Cut to the largest, it is what the model hands on."""
    _, experiment = opened(YOLO2 if sinks else CIRCUITS[-1])
    experiment = replace(experiment, model=with_engine(experiment.model, "dense"))
    config: GPTConfig = experiment.model.config
    nodes = [Node(place, 0) for place in experiment.circuit.nodes]
    ties = _Keeping(experiment.model, nodes)
    recorder = Recorder()
    experiment.run(None, chain(recorder, ties))
    assert ties.kept
    for name, (before, count) in ties.kept.items():
        after = recorder.tensors[name]
        smallest = before.abs().topk(count, dim=-1).values[..., -1:]
        assert torch.equal(torch.where(before.abs() >= smallest, before, 0), after), name
    assert config.afrac


class _Keeping(NearTies):
    def __init__(self, model, nodes) -> None:
        super().__init__(model, nodes)
        self.kept: dict[str, tuple[torch.Tensor, int]] = {}

    def _before(self, location):
        before = super()._before(location)
        place = {"act_in": "in", "resid_delta": "out", "post_act": "neuron"}
        name = f"{location.block}_{place.get(location.kind, location.kind)}"
        self.kept[str(location)] = before, self._model.config.kept(name, before.shape[-1])
        return before
