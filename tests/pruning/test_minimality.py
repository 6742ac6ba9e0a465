"""What is removed because the target is met without it."""

import dataclasses
import itertools
import math
import threading

import pytest
import torch

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.circuits.edges import edges
from circuit_sparsity.core.names import Node
from circuit_sparsity.experiment.experiment import Cancelled
from circuit_sparsity.pruning.find import find
from circuit_sparsity.pruning.learn import Snapshot
from circuit_sparsity.pruning.minimality import Trimmer
from circuit_sparsity.pruning.settings import QUICK, PruneSettings
from circuit_sparsity.pruning.subject import Subject
from tests.handmade import LN2, MARGIN_OF_4, HandMade, circuit_of, marked_model, sign_model

MADE = pytest.mark.parametrize(
    "made", [sign_model(), marked_model(), marked_model(sink=True)], ids=["sign", "key", "sink"]
)
QUICKLY = dataclasses.replace(QUICK, spare=2.0)
FULLY = PruneSettings(steps=60, learning_rate=1e-2, steer=0.05, minimal=True)


def subject_of(made: HandMade) -> Subject:
    return Subject(made.model, made.means, made.batch, made.batch, "handmade", "hand")


def everything(made: HandMade) -> Circuit:
    config = made.model.config
    return circuit_of(
        config,
        tuple(
            f"{place}:{channel}"
            for place in made.circuit.nodes
            for channel in range(config.width(place))
        ),
    )


@MADE
def test_of_the_whole_model_the_circuit_is_left(made: HandMade) -> None:
    trimmer = Trimmer(subject_of(made))
    found = trimmer.nodes(everything(made), target=0.1)
    assert set(map(str, found.node_list)) == set(made.nodes)
    assert trimmer.loss(found) == pytest.approx(MARGIN_OF_4, abs=1e-6)


@MADE
@pytest.mark.parametrize("settings", [QUICKLY, FULLY], ids=["quick", "full"])
def test_quick_and_full_end_at_the_circuit(made: HandMade, settings: PruneSettings) -> None:
    subject = subject_of(made)
    assert set(map(str, find(subject, settings, target=0.15).node_list)) == set(made.nodes)
    k = len(made.nodes)
    assert set(map(str, find(subject, settings, k=k).node_list)) == set(made.nodes)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("settings", [QUICKLY, FULLY], ids=["quick", "full"])
def test_no_subset_of_nodes_is_smaller_in_random_models(seed: int, settings: PruneSettings) -> None:
    """16 nodes: the sign model with noise on every weight, all 65,536 circuits tried."""
    made, generator = sign_model(), torch.Generator().manual_seed(seed)
    for parameter in made.model.parameters():
        parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    subject = subject_of(made)
    smallest = fewest_by_brute_force(subject, 0.15)
    assert find(subject, settings, target=0.15).size == smallest


def fewest_by_brute_force(subject: Subject, target: float) -> int:
    """Sizes from the smallest up; each subset is an ablation of the whole model."""
    whole = everything(HandMade(subject.model, subject.means, subject.evaluation, ()))
    losses, nodes = Trimmer(subject)._losses(whole), whole.node_list
    for size in range(len(nodes) + 1):
        kept = list(itertools.combinations(range(len(nodes)), size))
        sets = [[nodes[i] for i in range(len(nodes)) if i not in chosen] for chosen in kept]
        if bool((losses(sets) <= target).any()):
            return size
    raise AssertionError("no subset meets the target")


def test_a_removal_that_would_break_the_target_is_not_made() -> None:
    made = marked_model()
    found = Trimmer(subject_of(made)).nodes(made.circuit, target=0.4)
    # (softplus(-4) + ln 2)/2 = 0.356: the key may go, nothing else.
    gone = {"0.attn.act_in:2", "0.attn.k:0"}
    assert set(map(str, found.node_list)) == set(made.nodes) - gone


def test_exactly_k_nodes_are_left() -> None:
    made = marked_model()
    trimmer = Trimmer(subject_of(made))
    sizes = [trimmer.nodes(everything(made), math.inf, k).size for k in range(1, 24)]
    assert sizes == list(range(1, 24))


def test_spare_edges_are_those_whose_removal_leaves_the_target_met() -> None:
    made = sign_model()
    nodes = (*made.nodes, "0.mlp.post_act:2", "0.mlp.resid_delta:0")
    circuit = circuit_of(made.model.config, nodes)
    found = Trimmer(subject_of(made)).minimal(circuit, 0.15)
    assert found.before == (6, len(edges(circuit, made.model))) == (6, 4)
    assert set(map(str, found.circuit.node_list)) == set(made.nodes)
    assert (found.edges, found.spare) == (2, ())
    loose = Trimmer(subject_of(made))._with_spare_edges(circuit, circuit, 0.15)
    # Neuron 2 and what it writes are of no use: both its edges are spare.
    neuron = Node.parse("0.mlp.post_act:2")
    assert all(neuron in (edge.source, edge.target) for edge in loose.spare)
    assert len(loose.spare) == 2
    assert loose.loss <= 0.15


def test_an_edge_that_the_task_needs_is_not_spare() -> None:
    made = sign_model()
    found = Trimmer(subject_of(made)).minimal(made.circuit, 0.15)
    assert (found.edges, found.spare) == (2, ())
    loose = Trimmer(subject_of(made)).minimal(made.circuit, LN2 + 0.01)
    assert loose.circuit.size == 0


def test_what_was_removed_is_told() -> None:
    made = sign_model()
    seen: list[Snapshot] = []
    circuit = find(subject_of(made), QUICKLY, target=0.15, report=seen.append)
    told = circuit.found.minimality
    assert told is not None
    assert (told.nodes, told.edges, told.edges_needed) == (4, 2, 2)
    assert told.nodes_before == 8  # twice what the bisection needs
    assert told.nodes_bisected == 4
    last = [snapshot for snapshot in seen if snapshot.stage == "nodes"][-1]
    assert (last.done, last.of, last.nodes) == (4, 8, 4)
    assert int(last.kept.sum()) == 4


def test_removal_can_be_cancelled() -> None:
    made, cancel = sign_model(), threading.Event()
    cancel.set()
    with pytest.raises(Cancelled, match="of 16 nodes went"):
        Trimmer(subject_of(made), cancel=cancel).nodes(everything(made), 0.15)


def test_the_goal_of_k_keeps_its_size() -> None:
    subject = subject_of(marked_model())
    assert [find(subject, QUICKLY, k=k).size for k in (1, 5, 9, 24)] == [1, 5, 9, 24]


@pytest.mark.parametrize("settings", [QUICKLY, FULLY], ids=["quick", "full"])
def test_a_cancel_at_any_report_ends_the_search_there(settings: PruneSettings) -> None:
    subject, seen = subject_of(sign_model()), []
    find(subject, settings, target=0.15, report=seen.append)
    for moment in range(1, len(seen)):
        cancel, heard = threading.Event(), []

        def report(snapshot: Snapshot, heard=heard, cancel=cancel, at=moment) -> None:
            heard.append(snapshot)
            if len(heard) == at:
                cancel.set()

        with pytest.raises(Cancelled, match="stopped"):
            find(subject, settings, target=0.15, report=report, cancel=cancel)
        assert len(heard) == moment
