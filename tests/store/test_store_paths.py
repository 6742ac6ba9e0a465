"""Names that are let in, and names that are not."""

from pathlib import Path

import pytest

from circuit_sparsity.store import StoreError, paths

HOSTILE = [
    "",
    "/etc/passwd",
    "..",
    "models/../../etc/passwd",
    "models/x/../../../etc/passwd",
    "models//final_model.pt",
    "models/./final_model.pt",
    "models/x/",
    "C:/Windows/system32",
    "models/C:/x",
    "models/x\\..\\..\\y",
    "models/x/a\0b",
    "models/x/a\nb",
    "models/x/a\x7fb",
    "models/x/a\u202eb",
    "models/x/\ud800",
    "models/.store/x",
    ".store/listing.json",
    "models/x/con.txt",
    "models/x/LPT1",
    "models/x/a.",
    "models/x/a ",
    "models/~root/x",
    "models/x/file:stream",
    "models/x/" + "a" * 300,
    "models/" + "a/" * 20 + "b",
    "models/" + "é" * 150 + "/x",
    "file:///etc/passwd",
    "other/x",
    "Models/x",
]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_a_name_that_could_leave_the_folder_is_refused(name: str) -> None:
    assert not paths.is_allowed(name)
    with pytest.raises(StoreError, match="is not let in"):
        paths.checked(name)


@pytest.mark.parametrize(
    "name",
    [
        "models/csp_sweep1_1x_0.9Mnonzero_afrac0.125/beeg_config.json",
        "viz/csp_yolo2/bracket_counting_beeg/prune_v4/k_optim/viz_data.pt",
        "viz/my model (2)/täsk/s/k104_seed1/viz_data.pt",
        "tinypython/vocab.bpe",
    ],
)
def test_a_name_of_the_layout_is_let_in(name: str) -> None:
    assert paths.checked(name) == name


def test_a_model_named_with_a_slash_is_not_a_model() -> None:
    with pytest.raises(StoreError, match="holds a '/'"):
        paths.viz_name("a/b", "task", "sweep", "64")


def test_nothing_is_written_through_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "models").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="symbolic link.*set CIRCUIT_SPARSITY_CACHE"):
        paths.inside(tmp_path / "folder", "models/x/final_model.pt")


def test_the_cache_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "folder").symlink_to(tmp_path / "elsewhere")
    expected = tmp_path / "folder" / "models" / "x" / "y"
    assert paths.inside(tmp_path / "folder", "models/x/y") == expected
