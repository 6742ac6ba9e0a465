"""What we measure ourselves, against the files of the release's form."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from circuit_sparsity.experiment.experiment import Cancelled, Experiment
from circuit_sparsity.experiment.measurement import measure_stored
from circuit_sparsity.release import StoredCircuit, read_viz, write_viz
from tests.release.cases import (
    YOLO1,
    YOLO2,
    all_windows,
    differences,
    open_experiment,
    raw_contents,
)

SWEEP = "csp_sweep1_1x_0.9Mnonzero_afrac0.125/single_double_quote/prune_v4/k_optim"


# One with empty locations and added positions, one with a sink and concatenated positions, one
# with neither; the others are like the first two.
@pytest.fixture(scope="module", params=[f"{YOLO1}/16", YOLO2, SWEEP])
def experiment(request: pytest.FixtureRequest, release_fixture: Path) -> Experiment:
    return open_experiment(release_fixture, request.param)


@pytest.fixture(scope="module")
def stored(experiment: Experiment, release_fixture: Path) -> StoredCircuit:
    c = experiment.circuit
    return read_viz(release_fixture / "viz" / c.model / c.task / c.sweep / c.k / "viz_data.pt")


@pytest.fixture(scope="module")
def measured(experiment: Experiment, stored: StoredCircuit) -> StoredCircuit:
    return measure_stored(experiment, all_windows(stored))


def test_a_file_of_our_own_measurements_is_of_the_released_form(
    measured: StoredCircuit, stored: StoredCircuit, release_fixture: Path, tmp_path: Path
) -> None:
    path = write_viz(replace(measured, search=stored.search), tmp_path / "viz_data.pt")
    written = torch.load(path, weights_only=True)
    released = raw_contents(release_fixture, stored)
    # Ours holds a loss for each location, where the released files have an empty dictionary, and
    # the configuration under this project's names.
    assert set(written["importances"].pop("loc_interv_losses")) == set(released["circuit_data"])
    assert released["importances"].pop("loc_interv_losses") == {}
    assert read_viz(path).config == stored.config
    for contents in (written, released):
        del contents["importances"]["beeg_model_config"]
    assert differences(written, released, values=False) == []
    for key in ("circuit_data", "all_loss", "num_total_nodes", "prune_config"):
        assert differences(written[key], released[key]) == []


def test_our_own_measurements_are_the_stored_losses(
    measured: StoredCircuit, stored: StoredCircuit
) -> None:
    assert measured.model_loss == pytest.approx(stored.model_loss, abs=1e-5)
    assert measured.circuit_loss == pytest.approx(stored.circuit_loss, abs=1e-5)
    assert dict(measured.node_losses) == pytest.approx(dict(stored.node_losses), abs=1e-5)
    assert dict(measured.block_losses) == pytest.approx(dict(stored.block_losses), abs=1e-5)
    for ours, theirs in zip(measured.edge_matrices, stored.edge_matrices, strict=True):
        assert (ours.source, ours.target) == (theirs.source, theirs.target)
        assert torch.equal(ours.weights, theirs.weights)
    assert measured.search[-1].loss == measured.circuit_loss


def test_what_the_released_viewer_reads_is_there(measured: StoredCircuit, tmp_path: Path) -> None:
    raw = torch.load(write_viz(measured, tmp_path / "viz_data.pt"), weights_only=True)
    importances, kept = raw["importances"], raw["circuit_data"]
    n_layer = importances["beeg_model_config"]["n_layer"]
    blocks = [f"{layer}.{block}" for layer in range(n_layer) for block in ("attn", "mlp")]
    assert list(importances["layer_interv_losses"]) == blocks
    for matrix, sources, targets, (source, target) in importances["pair_data"]:
        names = [*kept[source].tolist(), "bias"]
        assert (sources, targets) == (names, kept[target].tolist())
        assert matrix.abs().shape == (len(sources), len(targets))
    assert len(importances["pair_data"]) == 6 * n_layer
    for location, channels in kept.items():
        # The viewer looks documents up by the number in a 0-d tensor, task activations by it.
        docs = {key.item(): value for key, value in raw["samples"][location].items()}
        for channel in channels.tolist():
            sides = [docs[channel][q][side][:5] for q in (0.001, 0.01, 0.1, 0.5) for side in (0, 1)]
            torch.stack([doc[1] for docs_of_side in sides for doc in docs_of_side])
            assert importances["task_samples"][1][location][channel].shape[0] % 2 == 0
    iterations, losses = zip(*raw["all_loss"], strict=True)
    assert (iterations, losses) == ((0,), (importances["interv_loss"],))


def test_progress_counts_up_to_the_end_and_never_back(release_fixture: Path) -> None:
    experiment = open_experiment(release_fixture, f"{YOLO1}/16")
    seen: list[tuple[int, int]] = []
    measure_stored(experiment, progress=lambda done, of: seen.append((done, of)))
    done, of = zip(*seen, strict=True)
    assert list(done) == sorted(done)
    assert done[-1] == of[0]
    assert set(of) == {of[0]}
    assert of[0] == experiment.circuit.size + len(experiment.edges)


def test_a_cancelled_measurement_stops_at_the_next_step(release_fixture: Path) -> None:
    experiment = open_experiment(release_fixture, f"{YOLO1}/16")
    cancel, seen = threading.Event(), []

    def progress(done: int, of: int) -> None:
        seen.append(done)
        cancel.set()

    with pytest.raises(Cancelled, match="stopped after"):
        measure_stored(experiment, progress=progress, cancel=cancel)
    assert len(seen) == 1
