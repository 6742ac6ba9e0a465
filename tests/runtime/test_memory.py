"""What opening and converting a large model takes of a machine's memory, counted by the system."""

import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from benchmarks.memory import grown_by_opening, peak_of_conversion
from benchmarks.models import YOLO2, Shape, random_weights
from circuit_sparsity.core.checkpoint import (
    COMPACT_FILE,
    CONFIG_FILE,
    DENSE_FILE,
    expected_shapes,
    pack,
)
from circuit_sparsity.kernels import SparseMatrix
from circuit_sparsity.runtime.conversion import CONVERTED_FILE

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="memory is counted by Linux's /proc"
)

ONE_LAYER = replace(YOLO2, config=replace(YOLO2.config, n_layer=1))
MB = 1e6


def tensor_sizes(shape: Shape) -> list[float]:
    """MB of each tensor of the dense form, float32."""
    return [4 * math.prod(size) / MB for size in expected_shapes(shape.config).values()]


def write_config(shape: Shape, folder: Path) -> None:
    (folder / CONFIG_FILE).write_text(json.dumps(shape.config.to_dict()))


def write_dense(shape: Shape, folder: Path) -> None:
    """The released form: every zero is in the file."""
    write_config(shape, folder)
    state = {
        name: x.dense() if isinstance(x, SparseMatrix) else x
        for name, x in random_weights(shape).items()
    }
    torch.save(state, folder / DENSE_FILE)
    assert (folder / DENSE_FILE).stat().st_size >= sum(tensor_sizes(shape)) * MB


def test_opening_csp_yolo2s_compact_form_takes_a_twentieth_of_its_dense_size(
    tmp_path: Path,
) -> None:
    write_config(YOLO2, tmp_path)
    save_file(pack(random_weights(YOLO2)), tmp_path / COMPACT_FILE)
    dense = sum(tensor_sizes(YOLO2))
    assert dense == pytest.approx(1676.5, abs=1)  # the released file's 1,676,532,054 bytes
    assert 16.8 < grown_by_opening(tmp_path) < dense / 20  # the bigram table alone takes 16.8


def test_conversion_holds_no_more_than_one_dense_tensor(tmp_path: Path) -> None:
    write_dense(ONE_LAYER, tmp_path)
    assert peak_of_conversion(tmp_path) < max(tensor_sizes(ONE_LAYER))
    assert (tmp_path / CONVERTED_FILE).exists()


@pytest.mark.soak
def test_both_hold_for_the_whole_model(tmp_path: Path) -> None:
    write_dense(YOLO2, tmp_path)
    assert peak_of_conversion(tmp_path) < max(tensor_sizes(YOLO2))
    (tmp_path / CONVERTED_FILE).rename(tmp_path / COMPACT_FILE)
    assert grown_by_opening(tmp_path) < sum(tensor_sizes(YOLO2)) / 20
