"""The release's layout with honestly computed tiny circuits: what is stored is what runs here.

Of every circuit all losses, weights and activations are checked, each node's loss on the way that
starts late; one node in eight also on the way that a page takes, from the first layer on, and one
in three for its documents.
"""

import zipfile
from pathlib import Path

import pytest
import torch

from circuit_sparsity.circuits.edges import edges
from circuit_sparsity.circuits.means import mean_activations
from circuit_sparsity.core.names import Location, circuit_locations
from circuit_sparsity.experiment.documents import documents
from circuit_sparsity.experiment.experiment import Experiment
from circuit_sparsity.release import StoredCircuit, read_viz, viz_contents, write_viz
from tests.release.cases import (
    CIRCUITS,
    YOLO2,
    all_windows,
    differences,
    open_experiment,
    raw_contents,
)


@pytest.fixture(scope="module", params=CIRCUITS)
def experiment(request: pytest.FixtureRequest, release_fixture: Path) -> Experiment:
    return open_experiment(release_fixture, request.param)


@pytest.fixture(scope="module")
def stored(experiment: Experiment, release_fixture: Path) -> StoredCircuit:
    c = experiment.circuit
    return read_viz(release_fixture / "viz" / c.model / c.task / c.sweep / c.k / "viz_data.pt")


def test_the_fixture_is_tested_whole(release_fixture: Path) -> None:
    there = {str(path.parent) for path in release_fixture.glob("viz/*/*/*/*/viz_data.pt")}
    assert there == {str(release_fixture / "viz" / name) for name in CIRCUITS}


def test_names_of_a_circuit_are_those_of_its_folders(
    experiment: Experiment, stored: StoredCircuit
) -> None:
    c = stored.circuit
    assert "/".join((c.model, c.task, c.sweep, c.k)) in CIRCUITS
    assert c.nodes == experiment.circuit.nodes


def test_every_location_of_the_model_is_in_the_circuit(
    experiment: Experiment, stored: StoredCircuit
) -> None:
    assert tuple(stored.circuit.nodes) == circuit_locations(experiment.model.config.n_layer)


def test_model_and_circuit_lose_half_of_what_is_stored(
    experiment: Experiment, stored: StoredCircuit, release_fixture: Path
) -> None:
    raw = raw_contents(release_fixture, stored)["importances"]
    assert experiment.of_model.loss == pytest.approx(raw["loss"] / 2, abs=1e-5)
    assert experiment.of_circuit.loss == pytest.approx(raw["interv_loss"] / 2, abs=1e-5)
    assert stored.model_loss == raw["loss"] / 2
    assert stored.circuit_loss == raw["interv_loss"] / 2


def test_ablating_every_node_gives_half_of_what_is_stored(
    experiment: Experiment, stored: StoredCircuit, release_fixture: Path
) -> None:
    raw = raw_contents(release_fixture, stored)["importances"]["ch_interv_losses"]
    for effect in experiment.ablate_each(experiment.circuit.node_list):
        (node,) = effect.parts
        index, loss = stored.circuit.nodes[node.location].index(node.channel), effect.after.loss
        assert stored.node_losses[node] == raw[str(node.location)][index] / 2
        assert loss == pytest.approx(stored.node_losses[node], abs=1e-5)


def test_a_page_that_ablates_a_node_shows_the_stored_rise(
    experiment: Experiment, stored: StoredCircuit
) -> None:
    for effect in experiment.ablate_each(experiment.circuit.node_list[::8]):
        assert effect.delta == pytest.approx(stored.node_delta(effect.parts[0]), abs=1e-5)


def test_ablating_each_block_gives_half_of_what_is_stored(
    experiment: Experiment, stored: StoredCircuit
) -> None:
    assert len(stored.block_losses) == 2 * experiment.model.config.n_layer
    for block in stored.block_losses:
        nodes = [n for n in experiment.circuit.node_list if n.location.block_name == block]
        rise = experiment.ablate(nodes).delta
        assert rise == pytest.approx(stored.block_delta(block), abs=1e-5)


def test_stored_weights_are_the_edges_of_the_model(
    experiment: Experiment, stored: StoredCircuit
) -> None:
    ours = {(e.source, e.target): e.weight for e in edges(experiment.circuit, experiment.model)}
    assert {(e.source, e.target): e.weight for e in stored.edges} == ours


@pytest.mark.parametrize("of_circuit", [False, True])
def test_activations_are_the_stored_halves_within_a_hundredth(
    experiment: Experiment, stored: StoredCircuit, of_circuit: bool
) -> None:
    samples = stored.task_samples_circuit if of_circuit else stored.task_samples
    assert torch.equal(samples.tokens, experiment.batch.tokens)
    ours = experiment.activations(experiment.alive if of_circuit else None)
    assert set(samples.activations) == set(experiment.circuit.node_list)
    for node, kept in samples.activations.items():
        recorded = ours[str(node.location)][..., node.channel]
        torch.testing.assert_close(kept, recorded, atol=1e-2, rtol=0)


def test_documents_are_at_the_stored_ranks_of_their_text(
    experiment: Experiment, stored: StoredCircuit
) -> None:
    windows = all_windows(stored)
    assert windows.shape == (64, 96)
    nodes = experiment.circuit.node_list[::3]
    found = documents(experiment.model, nodes, windows)
    for node in nodes:
        quantiles = stored.documents[node]
        assert list(quantiles) == list(found[node])
        for quantile, extremes in quantiles.items():
            for side, ours in zip(extremes, found[node][quantile], strict=True):
                # Ties may come in another order, so what is compared is what is ranked.
                assert [float(d.activations[d.position]) for d in side] == pytest.approx(
                    [float(d.activations[d.position]) for d in ours], abs=5e-3
                )


def test_means_are_those_of_the_documents_text(
    experiment: Experiment, stored: StoredCircuit
) -> None:
    means = mean_activations(experiment.model, [all_windows(stored)])
    for location, mean in experiment.means.values.items():
        torch.testing.assert_close(mean, means.values[location], atol=1e-5, rtol=0)


def test_position_channels_come_after_the_residual_channels(release_fixture: Path) -> None:
    stored = read_viz(release_fixture / "viz" / YOLO2 / "viz_data.pt")
    reads = stored.circuit.nodes[Location.parse("1.attn.act_in")]
    assert stored.config.d_model == 64
    assert 67 in reads


def test_search_counts_eight_runs_an_iteration(stored: StoredCircuit) -> None:
    assert [point.runs for point in stored.search[:3]] == [8, 16, 24]
    assert stored.search[-1].runs == 256


def test_total_nodes_count_every_location(experiment: Experiment, stored: StoredCircuit) -> None:
    widths = map(experiment.model.config.width, stored.circuit.nodes)
    assert stored.total_nodes == sum(widths)


def test_what_is_read_is_written_as_it_was(
    stored: StoredCircuit, release_fixture: Path, tmp_path: Path
) -> None:
    path = write_viz(stored, tmp_path / "viz_data.pt")
    written = torch.load(path, weights_only=True)
    assert differences(written, raw_contents(release_fixture, stored)) == []
    again = read_viz(path, *stored.title.split(" · "))
    assert differences(viz_contents(again), viz_contents(stored)) == []
    assert again.circuit == stored.circuit


def test_zip_entries_lie_under_archive(stored: StoredCircuit, tmp_path: Path) -> None:
    with zipfile.ZipFile(write_viz(stored, tmp_path / "viz_data.pt")) as archive:
        assert {name.split("/")[0] for name in archive.namelist()} == {"archive"}
