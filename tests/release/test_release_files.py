"""Files of the release's form, made by hand with one oddity or one fault each."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.circuits.found import Found
from circuit_sparsity.circuits.means import Means
from circuit_sparsity.core.names import FINAL_RESID, Location, Node
from circuit_sparsity.release import (
    ReleaseError,
    StoredCircuit,
    StoredEdge,
    last_tokens,
    read_means,
    read_viz,
    task_batch,
    write_means,
    write_viz,
)

READ, NEURON = Location.parse("0.mlp.act_in"), Location.parse("0.mlp.post_act")
TOKENS = torch.tensor([[5, 0, 6, 0], [7, 8, 9, 4]])


def half(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float16)


OTHERS = {"0.mlp.act_in": {4: half([1, 2, 3])}}  # activations of other prompts than TOKENS


def doc(position: int) -> tuple[torch.Tensor, torch.Tensor, int]:
    tokens = torch.tensor([3, 1, 2], dtype=torch.int16)
    return tokens, half([0.5, -1.0, 2.0])[0], position


def contents() -> dict[str, Any]:
    """Two reads, one neuron, one weight that is not zero: what a released file would hold."""
    pair = ("0.mlp.act_in", "0.mlp.post_act")
    acts = {
        "0.mlp.act_in": {4: half([1, 2, 3, 4], [5, 6, 7, 8]), 9: half([0] * 4, [0] * 4)},
        "0.mlp.post_act": {2: half([0.1] * 4, [0.2] * 4)},
        "final_resid": {},
    }
    docs = {q: ([doc(1)], [doc(2)]) for q in (0.001, 0.01, 0.1, 0.5)}
    return {
        "circuit_data": {
            "0.mlp.act_in": torch.tensor([4, 9]),
            "0.mlp.post_act": torch.tensor([2]),
            "final_resid": torch.tensor([], dtype=torch.int64),
        },
        "samples": {
            "0.mlp.act_in": {torch.tensor(4): docs, torch.tensor(9): docs},
            "0.mlp.post_act": {torch.tensor(2): docs},
            "final_resid": {},
        },
        "importances": {
            "beeg_model_config": {
                **{"n_layer": 1, "n_head": 2, "d_model": 8, "n_mlp": 16, "vocab_size": 32}
            },
            "loss": 0.5,
            "interv_loss": 0.25,
            "ch_interv_losses": {
                "0.mlp.act_in": [1.0, 0.25],
                "0.mlp.post_act": [3.0],
                "final_resid": [],
            },
            "layer_interv_losses": {"0.attn": 0.25, "0.mlp": 4.0},
            "loc_interv_losses": {},
            "pair_data": [[torch.tensor([[0.75], [0.0], [0.0]]), [4, 9, "bias"], [2], pair]],
            "pair_data_connections": [
                [torch.tensor([[-0.5], [0.0], [0.125]]), [4, 9, "bias"], [2], pair]
            ],
            "task_samples": (TOKENS, acts),
            "task_samples_circuit": (TOKENS, acts),
        },
        "all_loss": [(0, 2.0), (31, 0.25)],
        "num_total_nodes": 60,
        "prune_config": {"lr": 0.0048},
        "is_kiter_bug_fixed": True,
    }


def saved(raw: Any, folder: Path) -> Path:
    path = folder / "viz_data.pt"
    torch.save(raw, path)
    return path


def read(raw: Any, folder: Path) -> StoredCircuit:
    return read_viz(saved(raw, folder), "m", "t", "s", "3")


def test_losses_are_halved_once(tmp_path: Path) -> None:
    stored = read(contents(), tmp_path)
    assert (stored.model_loss, stored.circuit_loss) == (0.25, 0.125)
    assert stored.node_losses[Node(READ, 4)] == 0.5
    assert stored.node_delta(Node(NEURON, 2)) == 1.375
    assert stored.block_losses == {"0.attn": 0.125, "0.mlp": 2.0}
    assert stored.block_delta("0.mlp") == 1.875
    assert stored.location_losses == {}
    assert [(point.runs, point.loss) for point in stored.search] == [(8, 1.0), (256, 0.125)]


def test_location_losses_are_halved_where_a_file_has_them(tmp_path: Path) -> None:
    raw = contents()
    raw["importances"]["loc_interv_losses"] = {"0.mlp.post_act": 3.0}
    assert read(raw, tmp_path).location_losses == {NEURON: 1.5}


def test_a_bias_is_no_edge_and_a_zero_weight_is_none(tmp_path: Path) -> None:
    stored = read(contents(), tmp_path)
    assert stored.edges == (StoredEdge(Node(READ, 4), Node(NEURON, 2), -0.5, 0.375),)
    ((bias,),) = [matrix.biases for matrix in stored.edge_matrices]
    assert (bias.target, bias.weight, bias.delta) == (Node(NEURON, 2), 0.125, 0.0)


def test_a_matrix_without_a_bias_row_has_no_biases(tmp_path: Path) -> None:
    raw = contents()
    for key in ("pair_data", "pair_data_connections"):
        entry = raw["importances"][key][0]
        raw["importances"][key] = [[entry[0][:2], [4, 9], [2], entry[3]]]
    stored = read(raw, tmp_path)
    assert len(stored.edges) == 1
    assert stored.edge_matrices[0].biases == ()
    assert write_viz(stored, tmp_path / "again.pt").exists()


def test_matrices_kept_apart_by_process_are_joined(tmp_path: Path) -> None:
    raw = contents()
    raw["importances"]["pair_data"] = [raw["importances"]["pair_data"]]
    assert read(raw, tmp_path).edges == read(contents(), tmp_path).edges


def test_documents_are_found_by_channel_number(tmp_path: Path) -> None:
    extremes = read(contents(), tmp_path).documents[Node(READ, 9)][0.01]
    assert extremes.bottom[0].tokens.tolist() == [3, 1, 2]
    assert extremes.bottom[0].tokens.dtype == torch.int64
    assert extremes.top[0].activations.tolist() == [0.5, -1.0, 2.0]
    assert extremes.top[0].activations.dtype == torch.float32
    assert (extremes.bottom[0].position, extremes.top[0].position) == (1, 2)


def test_activations_are_float32_on_the_way_in_and_halves_on_the_way_out(tmp_path: Path) -> None:
    stored = read(contents(), tmp_path)
    activations = stored.task_samples.activations[Node(READ, 4)]
    assert activations.dtype == torch.float32
    assert activations.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    again = torch.load(write_viz(stored, tmp_path / "again.pt"), weights_only=True)
    assert again["importances"]["task_samples"][1]["0.mlp.act_in"][4].dtype == torch.float16


def test_an_old_configuration_key_is_understood(tmp_path: Path) -> None:
    assert read(contents(), tmp_path).config.d_mlp == 16


def test_a_file_that_does_not_say_whether_a_bug_was_fixed_is_read(tmp_path: Path) -> None:
    raw = contents()
    del raw["is_kiter_bug_fixed"]
    stored = read(raw, tmp_path)
    assert stored.is_kiter_bug_fixed is None
    again = torch.load(write_viz(stored, tmp_path / "again.pt"), weights_only=True)
    assert "is_kiter_bug_fixed" not in again


def test_names_come_from_the_folders_unless_they_are_given(tmp_path: Path) -> None:
    folder = tmp_path / "viz" / "csp" / "quotes" / "prune_v4" / "k_optim"
    folder.mkdir(parents=True)
    circuit = read_viz(saved(contents(), folder), task="other").circuit
    assert circuit.title == "csp · other · prune_v4 · k_optim"
    assert circuit.found.to_dict() == {"lr": 0.0048}


def test_the_last_token_is_the_last_that_is_not_padding() -> None:
    assert last_tokens(TOKENS).tolist() == [2, 3]


def test_a_token_zero_inside_a_prompt_is_an_exclamation_mark(tmp_path: Path) -> None:
    batch = task_batch(read(contents(), tmp_path), (11, 12))
    assert batch.tokens.tolist() == TOKENS.tolist()
    assert batch.last.tolist() == [2, 3]


def test_the_first_answer_is_right_for_the_first_half(tmp_path: Path) -> None:
    batch = task_batch(read(contents(), tmp_path), (11, 12))
    assert (batch.right.tolist(), batch.wrong.tolist()) == ([11, 12], [12, 11])


def test_an_answer_outside_the_vocabulary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="the answer 32 is no token of m; .* from 0 to 31"):
        task_batch(read(contents(), tmp_path), (11, 32))


def test_a_prompt_of_nothing_but_padding_is_refused() -> None:
    with pytest.raises(ReleaseError, match="no token but padding"):
        last_tokens(torch.zeros(2, 3, dtype=torch.int64))


@pytest.mark.parametrize("size", [0, 1, 100, 3000])
def test_a_cut_file_is_named_with_its_length_and_what_to_do(tmp_path: Path, size: int) -> None:
    path = saved(contents(), tmp_path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ReleaseError) as caught:
        read_viz(path)
    message = str(caught.value)
    assert str(path) in message
    assert f"({size:,} bytes)" in message
    assert "expected a viz_data.pt of the release's format, 1 to 20 MB" in message
    assert "Delete the file and fetch it again" in message
    assert ("the file is empty" if size == 0 else "cut off or damaged") in message


def test_bytes_that_are_no_archive_are_an_error_not_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "viz_data.pt"
    path.write_bytes(b"<html>404 not found</html>" * 40)
    with pytest.raises(ReleaseError, match="cut off or damaged"):
        read_viz(path)


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "viz_data.pt"
    torch.save({"circuit_data": os.getcwd}, path)
    with pytest.raises(ReleaseError, match="cut off or damaged"):
        read_viz(path)


def test_a_missing_file_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="viz_data.pt is not there; it should hold a circuit"):
        read_viz(tmp_path / "viz_data.pt")


def test_a_missing_circuit_is_named_with_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match=r"the file has no circuit_data \(it has weights\)"):
        read({"weights": 1}, tmp_path)


@pytest.mark.parametrize("raw", [[1, 2], "text", torch.zeros(3)])
def test_another_object_is_no_circuit(tmp_path: Path, raw: Any) -> None:
    with pytest.raises(ReleaseError, match=f"holds a {type(raw).__name__}, not a dictionary"):
        read(raw, tmp_path)


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (("circuit_data",), {"0.mlp.no_such": torch.tensor([1])}, "circuit_data"),
        (("circuit_data",), {"0.mlp.act_in": torch.tensor([1, 1])}, "circuit_data"),
        (("all_loss",), [(0, "low")], "all_loss"),
        (("samples", "0.mlp.post_act"), {torch.tensor(2): {0.5: ([doc(7)], [])}}, "samples"),
        (("samples", "0.mlp.post_act"), {torch.tensor(2): {0.5: [1]}}, "samples"),
        (("num_total_nodes",), "many", "num_total_nodes"),
        (("importances", "loss"), "low", "the losses in importances"),
        (("importances", "ch_interv_losses", "0.mlp.act_in"), [1.0], "the losses in importances"),
        (("importances", "pair_data"), [[1]], "pair_data"),
        (("importances", "task_samples"), (TOKENS, OTHERS), "task_samples"),
        (("importances", "task_samples_circuit"), (TOKENS[:1], OTHERS), "task_samples_circuit"),
    ],
)
def test_what_is_misshapen_is_named(
    tmp_path: Path, path: tuple[str, ...], value: Any, named: str
) -> None:
    raw = contents()
    inner = raw
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    with pytest.raises(ReleaseError, match=f"cannot be read as a circuit: {named}.* should be"):
        read(raw, tmp_path)


def test_a_write_that_fails_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = read(contents(), tmp_path)
    path = write_viz(stored, tmp_path / "kept.pt")
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        write_viz(stored, path)
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["kept.pt", "viz_data.pt"]


def test_a_node_without_its_loss_cannot_be_written(tmp_path: Path) -> None:
    stored = read(contents(), tmp_path)
    object.__setattr__(stored, "node_losses", {Node(READ, 4): 0.5})
    with pytest.raises(
        ReleaseError, match="2 of 3 nodes have no loss, the first is 0.mlp.act_in:9"
    ):
        write_viz(stored, tmp_path / "again.pt")


def test_a_slice_of_a_large_tensor_does_not_bring_it_into_the_file(tmp_path: Path) -> None:
    raw = contents()
    stored = read(raw, tmp_path)
    large = torch.zeros(2, 4, 100_000)
    views = dict.fromkeys(stored.circuit.node_list, large[..., 0])
    object.__setattr__(stored.task_samples, "activations", views)
    path = write_viz(stored, tmp_path / "again.pt")
    assert path.stat().st_size < 50_000


def test_means_are_read_where_a_circuit_has_places_and_written_back(tmp_path: Path) -> None:
    raw = {
        "0.resid_in": torch.zeros(2),
        "0.attn.y": torch.zeros(2),
        "0.mlp.act_in": torch.tensor([1.0, 2.0]),
        "0.resid_mid": torch.zeros(2),
        "final_resid": torch.tensor([3.0, 4.0], dtype=torch.float16),
    }
    torch.save(raw, tmp_path / "raw.pt")
    means = read_means(tmp_path / "raw.pt")
    assert {str(place): mean.tolist() for place, mean in means.values.items()} == {
        "0.mlp.act_in": [1.0, 2.0],
        "final_resid": [3.0, 4.0],
    }
    again = read_means(write_means(means, tmp_path / "again.pt"))
    assert again.hash == means.hash


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        ({"0.mlp.act_in": torch.zeros(2)}, "has no final_resid"),
        ({"final_resid": torch.zeros(2), "elsewhere": torch.zeros(2)}, "not a location"),
        ({"final_resid": 3.0}, "a mean should be one vector"),
        ([1], "holds a list"),
    ],
)
def test_what_is_no_means_file_is_refused(tmp_path: Path, raw: Any, problem: str) -> None:
    torch.save(raw, tmp_path / "mean_baseline_pretrain.pt")
    with pytest.raises(ReleaseError, match=problem):
        read_means(tmp_path / "mean_baseline_pretrain.pt")


def test_written_means_have_memory_of_their_own(tmp_path: Path) -> None:
    large = torch.zeros(1000, 1000)
    path = write_means(Means({FINAL_RESID: large[0]}), tmp_path / "means.pt")
    assert path.stat().st_size < 20_000


def test_a_circuit_of_a_file_and_one_of_ours_are_the_same_kind_of_value(tmp_path: Path) -> None:
    circuit = read(contents(), tmp_path).circuit
    nodes = {READ: (4, 9), NEURON: (2,), FINAL_RESID: ()}
    assert circuit == Circuit(nodes, "m", "t", "s", "3", found=Found(other={"lr": 0.0048}))
