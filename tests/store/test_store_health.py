"""Files that are empty or cut, told by their own words."""

import json
import re
import struct
from pathlib import Path

import pytest
import torch

from circuit_sparsity.store import Damaged
from circuit_sparsity.store.health import check_whole


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Three tensors of 40,000, 20,000 and 8,000 bytes, and one that shares the first's storage."""
    first = torch.zeros(10_000)
    state = {
        "a": first,
        "b": torch.zeros(10_000, dtype=torch.float16),
        "c": torch.zeros(1_000, dtype=torch.int64),
        "view": first[:10],
    }
    path = tmp_path / "final_model.pt"
    torch.save(state, path)
    return path


def test_a_whole_file_passes(checkpoint: Path, tmp_path: Path) -> None:
    assert check_whole(checkpoint) == checkpoint
    config = tmp_path / "beeg_config.json"
    config.write_text("{}")
    assert check_whole(config) == config


@pytest.mark.parametrize("name", ["final_bridges.pt", "model.safetensors", "beeg_config.json"])
def test_an_empty_file_is_named_with_both_lengths(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.touch()
    with pytest.raises(Damaged, match="is 0 bytes long and should be more than 0") as caught:
        check_whole(path)
    assert str(path) in str(caught.value)
    with pytest.raises(Damaged, match="is 0 bytes long and should be 1,234"):
        check_whole(path, expected=1234)


@pytest.mark.parametrize("share", [0.9, 0.5, 0.1])
def test_a_cut_checkpoint_says_how_long_its_tensors_make_it(checkpoint: Path, share: float) -> None:
    whole = checkpoint.read_bytes()
    cut = whole[: int(len(whole) * share)]
    checkpoint.write_bytes(cut)
    with pytest.raises(Damaged) as caught:
        check_whole(checkpoint)
    message = str(caught.value)
    assert f"{checkpoint} is {len(cut):,} bytes long and should be at least 68,000" in message
    assert len(whole) > 68_000


def test_a_checkpoint_cut_in_its_list_of_tensors_is_too_short(checkpoint: Path) -> None:
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    with pytest.raises(Damaged, match="is 100 bytes long and should be longer"):
        check_whole(checkpoint)


def test_something_else_under_a_checkpoints_name_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "final_model.pt"
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(Damaged, match="is 22 bytes long"):
        check_whole(path)


def test_safetensors_say_their_exact_length(tmp_path: Path) -> None:
    tensors = {
        "__metadata__": {"made": "here"},
        "a": {"dtype": "F32", "shape": [10], "data_offsets": [0, 40]},
        "b": {"dtype": "F32", "shape": [5], "data_offsets": [40, 60]},
    }
    header = json.dumps(tensors).encode()
    whole = struct.pack("<Q", len(header)) + header + bytes(60)
    path = tmp_path / "model.safetensors"
    path.write_bytes(whole)
    assert check_whole(path) == path
    path.write_bytes(whole[:-1])
    expected = f"is {len(whole) - 1:,} bytes long and should be {len(whole):,}"
    with pytest.raises(Damaged, match=re.escape(expected)):
        check_whole(path)
    for length in (4, 20):
        path.write_bytes(whole[:length])
        with pytest.raises(Damaged, match="should be more"):
            check_whole(path)
