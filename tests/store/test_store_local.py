"""What is on this machine, without a network."""

import json
import os
from pathlib import Path

import pytest

from circuit_sparsity.store import (
    Damaged,
    ModelRow,
    NotHere,
    Row,
    Store,
    StoreError,
    manifest,
    write_atomically,
)
from circuit_sparsity.store.catalogue import documented

VIZ = "viz/m/task/sweep/64/viz_data.pt"


def put(root: Path, name: str, content: bytes = b"content") -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def here(store: Store) -> list[Row]:
    return [row for row in store.rows() if row.where != "remote"]


def test_an_empty_machine_has_only_what_is_documented_and_remote(store: Store) -> None:
    assert here(store) == []
    assert {row.where for row in store.models()} == {"remote"}
    assert ("csp_yolo2", "bracket_counting_beeg", "prune_v4", "k_optim") in {
        (row.model, row.task, row.sweep, row.k) for row in store.rows()
    }
    assert not store.folder.exists()


def test_a_row_says_where_its_circuit_is(store: Store) -> None:
    put(store.shipped, "viz/m/task/sweep/64/viz_data.pt", b"12345")
    put(store.folder, "viz/m/task/sweep/128/viz_data.pt", b"123")
    own = store.viz_folder("m", "task", "sweep", "k104_seed1", {"seed": 1})
    write_atomically(own / "viz_data.pt", lambda file: file.write(b"1"))
    assert here(store) == [
        Row("m", "task", "sweep", "64", "shipped", 5),
        Row("m", "task", "sweep", "128", "cached", 3),
        Row("m", "task", "sweep", "k104_seed1", "local", 1),
    ]


def test_means_beside_the_task_folders_are_no_circuit(store: Store) -> None:
    means = put(store.shipped, "viz/m/mean_baseline_pretrain.pt")
    assert here(store) == []
    assert store.path_of_means("m") == means


def test_the_users_copy_comes_before_the_one_that_ships(store: Store) -> None:
    put(store.shipped, VIZ)
    mine = put(store.folder, VIZ, b"newer")
    assert store.find(VIZ) == mine
    assert here(store) == [Row("m", "task", "sweep", "64", "cached", 5)]
    mine.unlink()
    assert store.path_of_viz("m", "task", "sweep", "64") == store.shipped / VIZ


def test_a_model_is_where_config_and_weights_lie_together(store: Store) -> None:
    put(store.folder, "models/m/beeg_config.json", b"12")
    put(store.shipped, "models/m/model.safetensors", b"123")
    assert store.path_of_model("m") is None
    put(store.shipped, "models/m/beeg_config.json", b"12")
    assert store.path_of_model("m") == store.shipped / "models" / "m"
    put(store.folder, "models/m/final_model.pt", b"1234")
    assert store.path_of_model("m") == store.folder / "models" / "m"
    (row,) = [row for row in store.models() if row.name == "m"]
    files = ("models/m/beeg_config.json", "models/m/final_model.pt")
    assert row == ModelRow("m", "cached", 6, files)


def test_a_model_with_its_own_tokenizer_uses_it(store: Store) -> None:
    for file in ("vocab.bpe", "encoder.json"):
        put(store.shipped, f"tinypython/{file}")
    put(store.folder, "models/m/vocab.bpe")
    assert store.path_of_tokenizer("m") == store.shipped / "tinypython"
    put(store.folder, "models/m/encoder.json")
    assert store.path_of_tokenizer("m") == store.folder / "models" / "m"
    assert store.path_of_tokenizer("other") == store.shipped / "tinypython"


def test_what_is_nowhere_is_none_or_an_error_that_says_how_to_get_it(store: Store) -> None:
    assert store.find(VIZ) is None
    assert store.path_of_tokenizer("m") is None
    with pytest.raises(NotHere, match=f"fetch {VIZ}`") as caught:
        store.require(VIZ)
    assert str(store.folder) in str(caught.value)
    assert str(store.shipped) in str(caught.value)


def test_drafts_marks_and_hostile_names_are_not_listed(store: Store) -> None:
    put(store.folder, "viz/m/task/sweep/64/.viz_data.pt.abc.tmp")
    put(store.folder, "models/m/made_here.json")
    put(store.folder, "models/m/a\nb")
    put(store.folder, ".store/partial/models/m/final_model.pt.part")
    put(store.folder, "notes.txt")
    assert [item.name for item in store.items() if item.where != "remote"] == []


def test_a_loop_of_links_ends(store: Store) -> None:
    put(store.folder, "models/m/beeg_config.json")
    (store.folder / "models" / "m" / "loop").symlink_to(store.folder / "models")
    assert "models/m/beeg_config.json" in [item.name for item in store.items()]


def test_a_death_before_the_mark_of_own_results_has_its_name_is_no_obstacle(store: Store) -> None:
    draft = put(store.folder, f"{VIZ.rsplit('/', 1)[0]}/.made_here.json.0a1b2c3d4e5f.tmp")
    folder = store.local_folder(VIZ.rsplit("/", 1)[0])
    assert (folder / "made_here.json").is_file()
    assert draft.parent == folder


def test_own_results_are_refused_where_downloads_lie(store: Store) -> None:
    put(store.folder, VIZ)
    with pytest.raises(StoreError, match="already holds files that were not made here"):
        store.viz_folder("m", "task", "sweep", "64")


def test_own_means_may_lie_beside_folders_of_circuits(store: Store) -> None:
    put(store.folder, VIZ)
    assert store.local_folder("viz/m") == store.folder / "viz" / "m"
    assert [row.where for row in here(store)] == ["cached"]


def test_the_mark_of_an_own_result_says_how_it_was_made(store: Store) -> None:
    folder = store.local_folder("models/mine", {"steps": 3})
    assert store.local_folder("models/mine", {"steps": 4}) == folder
    assert json.loads((folder / "made_here.json").read_text())["how"] == {"steps": 4}


def record(store: Store, name: str) -> None:
    manifest.record_by_hand(store.folder, name)


def test_a_download_that_became_shorter_is_named_with_both_lengths(store: Store) -> None:
    path = put(store.folder, VIZ, b"x" * 2000)
    record(store, VIZ)
    assert store.find(VIZ) == path
    path.write_bytes(b"x" * 1000)
    with pytest.raises(Damaged, match="is 1,000 bytes long and should be 2,000") as caught:
        store.find(VIZ)
    assert f"fetch {VIZ}`" in str(caught.value)


def test_a_download_with_other_bytes_is_found_by_its_time_of_change(store: Store) -> None:
    path = put(store.folder, VIZ, b"good")
    record(store, VIZ)
    path.write_bytes(b"evil")
    os.utime(path, (1, 1))
    with pytest.raises(Damaged, match="right length, 4 bytes, but other content"):
        store.find(VIZ)


def test_a_touched_download_is_read_once_and_then_believed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(store.folder, VIZ, b"good")
    record(store, VIZ)
    os.utime(path, (1, 1))
    assert store.find(VIZ) == path
    monkeypatch.setattr(manifest, "sha256_of", lambda *_: pytest.fail("read a second time"))
    assert store.find(VIZ) == path


def test_own_results_may_be_rewritten(store: Store) -> None:
    folder = store.viz_folder("m", "task", "sweep", "mine")
    for content in (b"first", b"second, longer"):
        write_atomically(folder / "viz_data.pt", lambda file, content=content: file.write(content))
        assert store.path_of_viz("m", "task", "sweep", "mine") == folder / "viz_data.pt"


def test_a_writer_that_fails_leaves_the_old_content_and_no_draft(tmp_path: Path) -> None:
    path = put(tmp_path, "models/m/x", b"old")

    def fails(file) -> None:
        file.write(b"new, half")
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_atomically(path, fails)
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_the_environment_names_folder_and_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CIRCUIT_SPARSITY_CACHE", str(tmp_path))
    monkeypatch.setenv("CIRCUIT_SPARSITY_URL", "https://mirror.example/c/")
    store = Store.from_environment()
    assert (store.folder, store.url) == (tmp_path, "https://mirror.example/c")
    monkeypatch.delenv("CIRCUIT_SPARSITY_URL")
    expected = "https://openaipublic.blob.core.windows.net/circuit-sparsity"
    assert Store.from_environment().url == expected


def test_the_shipped_catalogue_holds_the_documented_sizes_and_all_125_possible_names() -> None:
    known = documented()
    assert known.origin == "documented"
    assert known.licence == "Apache-2.0"
    assert known.files["models/csp_yolo1/final_model.pt"].size == 642_319_670
    assert known.files["models/csp_yolo2/final_model.pt"].size == 1_676_532_054
    assert len(set(known.possible_models)) == 125
    assert "csp_sweep1_1x_0.9Mnonzero_afrac0.125" in known.possible_models
