"""Files that people made themselves: what is left out is not stored, what is no number an error."""

import copy
import math
from pathlib import Path

import pytest
import torch

from circuit_sparsity.core.names import Node
from circuit_sparsity.release import ReleaseError, read_means
from circuit_sparsity.release.reading import read_viz
from tests.release.test_release_files import NEURON, READ, contents, read, saved

SECONDARY = [
    *("samples", "importances", "all_loss", "num_total_nodes", "prune_config"),
    *(f"importances/{key}" for key in contents()["importances"]),
]


@pytest.mark.parametrize("key", SECONDARY)
def test_a_file_without_one_secondary_key_has_the_same_circuit(tmp_path: Path, key: str) -> None:
    raw = contents()
    *above, last = key.split("/")
    (raw[above[0]] if above else raw).pop(last)
    assert read(raw, tmp_path).circuit.nodes == read(contents(), tmp_path).circuit.nodes


def test_a_file_of_nothing_but_a_circuit_has_no_losses_samples_or_edges(tmp_path: Path) -> None:
    stored = read({"circuit_data": contents()["circuit_data"]}, tmp_path)
    assert stored.circuit.size == 3
    assert math.isnan(stored.model_loss)
    assert math.isnan(stored.circuit_loss)
    assert not any((stored.node_losses, stored.block_losses, stored.edges, stored.search))
    assert not any((stored.documents, len(stored.task_samples.tokens), stored.model_config))
    with pytest.raises(ReleaseError, match="does not store what 0.mlp.act_in:4 costs"):
        stored.node_delta(Node(READ, 4))
    with pytest.raises(ReleaseError, match="stores no configuration of its model"):
        _ = stored.config


def test_a_node_without_activations_is_left_out_and_the_others_stay(tmp_path: Path) -> None:
    raw = copy.deepcopy(contents())
    del raw["importances"]["task_samples"][1]["0.mlp.act_in"][9]
    activations = read(raw, tmp_path).task_samples.activations
    assert set(activations) == {Node(READ, 4), Node(NEURON, 2)}


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("place", ["loss", "ch_interv_losses", "all_loss", "pair_data", "samples"])
def test_a_stored_number_that_is_none_is_named(tmp_path: Path, place: str, value: float) -> None:
    raw = copy.deepcopy(contents())
    importances = raw["importances"]
    if place == "loss":
        importances["loss"] = value
    elif place == "ch_interv_losses":
        importances["ch_interv_losses"]["0.mlp.act_in"][0] = value
    elif place == "all_loss":
        raw["all_loss"][1] = (31, value)
    elif place == "pair_data":
        importances["pair_data"][0][0][1, 0] = value
    else:
        importances["task_samples"][1]["0.mlp.act_in"][4][0, 1] = value
    with pytest.raises(ReleaseError, match="viz_data.pt .* (a stored number is|holds NaN or inf)"):
        read_viz(saved(raw, tmp_path))


def test_views_larger_than_the_file_are_refused(tmp_path: Path) -> None:
    raw = contents()
    raw["circuit_data"]["0.mlp.act_in"] = torch.zeros(1, dtype=torch.int64).expand(10**9)
    with pytest.raises(ReleaseError, match="says that its shape is .1000000000,., and less"):
        read_viz(saved(raw, tmp_path))


@pytest.mark.parametrize("value", [math.nan, -math.inf])
def test_means_that_are_no_numbers_are_named(tmp_path: Path, value: float) -> None:
    path = tmp_path / "mean_baseline_pretrain.pt"
    torch.save({"final_resid": torch.zeros(4), "0.mlp.post_act": torch.tensor([1.0, value])}, path)
    with pytest.raises(ReleaseError, match="0.mlp.post_act holds NaN or infinity"):
        read_means(path)


def test_a_mean_that_claims_more_than_it_stores_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mean_baseline_pretrain.pt"
    torch.save({"final_resid": torch.zeros(1).expand(10**10)}, path)
    with pytest.raises(ReleaseError, match="10,000,000,000 channels, and fewer are stored"):
        read_means(path)
