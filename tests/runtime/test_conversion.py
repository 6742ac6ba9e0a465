"""A dense checkpoint made compact once: noticed when changed, never half there, never trusted."""

import json
import os
import threading

import pytest
import torch

import circuit_sparsity.runtime.conversion as conversion
from circuit_sparsity.core.checkpoint import CheckpointError, unpack
from circuit_sparsity.core.model import GPT, GPTConfig
from circuit_sparsity.kernels import SparseMatrix
from circuit_sparsity.runtime.assemble import load_model
from circuit_sparsity.runtime.conversion import CONVERTED_FILE, convert, is_of, open_converted
from circuit_sparsity.store import TransferCancelled

SHAPE = GPTConfig(
    16,
    64,
    2,
    4,
    8,
    48,
    d_mlp=96,
    rms_norm=True,
    tied_unembed=False,
    sink=True,
    enable_bigram_table=True,
)


def sparse_state(seed: int = 0) -> dict[str, torch.Tensor]:
    model = GPT(SHAPE)
    model.initialise(seed)
    torch.manual_seed(seed)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter)
    state, draw = model.state_dict(), torch.Generator().manual_seed(seed)
    for name, x in state.items():
        if x.dim() == 2 and "bigram" not in name:
            x[torch.rand(x.shape, generator=draw) < 0.95] = 0.0
    return state


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A model in the released form, of a size that counts as large."""
    monkeypatch.setattr(conversion, "LARGE", 1000)
    (tmp_path / "beeg_config.json").write_text(json.dumps(SHAPE.to_dict()))
    torch.save(sparse_state(), tmp_path / "final_model.pt")
    return tmp_path


def test_the_compact_file_gives_the_same_model(folder):
    told = []
    model = open_converted(folder, "sparse", told.append)
    assert (folder / CONVERTED_FILE).stat().st_size < (folder / "final_model.pt").stat().st_size / 2
    tokens = torch.arange(16)[None]
    with torch.no_grad():
        assert torch.equal(model(tokens)[0], load_model(folder, engine="sparse")(tokens)[0])
    assert [report.done for report in told] == sorted(report.done for report in told)


def test_it_is_made_once(folder):
    first = convert(folder)
    assert first is not None
    made = first.stat().st_mtime_ns
    assert convert(folder) == first
    assert first.stat().st_mtime_ns == made


def test_a_changed_source_is_converted_anew(folder):
    convert(folder)
    torch.save(sparse_state(seed=1), folder / "final_model.pt")
    assert not is_of(folder / CONVERTED_FILE, folder / "final_model.pt")
    state = open_converted(folder, "sparse").state_dict()
    assert all(torch.equal(state[name], x) for name, x in sparse_state(seed=1).items() if x.dim())


def test_a_source_with_another_time_but_the_same_content_is_known(folder):
    convert(folder)
    os.utime(folder / "final_model.pt", ns=(1, 1))
    assert is_of(folder / CONVERTED_FILE, folder / "final_model.pt")


def test_stopping_leaves_nothing(folder):
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(TransferCancelled, match="stopped while"):
        convert(folder, cancel=cancel)
    assert {path.name for path in folder.iterdir()} == {"beeg_config.json", "final_model.pt"}


def test_what_differs_from_its_source_is_not_kept(folder, monkeypatch):
    def spoiled(packed):
        found = unpack(packed)
        matrix = found["lm_head.weight"]
        assert isinstance(matrix, SparseMatrix)
        matrix.values[0] += 1e-3
        return found

    monkeypatch.setattr(conversion, "unpack", spoiled)
    with pytest.raises(CheckpointError, match="lm_head.weight differs in the compact form"):
        convert(folder)
    assert not (folder / CONVERTED_FILE).exists()


def test_dense_weights_are_left_as_they_are(folder):
    model = GPT(SHAPE)
    model.initialise(0)
    torch.save(model.state_dict(), folder / "final_model.pt")
    assert convert(folder) is None
    assert not (folder / CONVERTED_FILE).exists()


@pytest.mark.parametrize("size", [0, 5000])
def test_a_cut_source_says_how_long_it_is_and_should_be(folder, size):
    path = folder / "final_model.pt"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(CheckpointError, match=rf"final_model.pt is {size:,} bytes long and should"):
        open_converted(folder)


def test_opening_a_compact_file_makes_nothing_dense(folder, monkeypatch):
    compact = convert(folder)
    assert compact is not None

    dense = SparseMatrix.dense

    def refuse(self):
        assert self.shape in {(16, 48), (64, 64)}, "more than positions and bigrams is dense"
        return dense(self)

    monkeypatch.setattr(SparseMatrix, "dense", refuse)
    model = open_converted(folder, "sparse")
    with torch.no_grad():
        assert model(torch.arange(16)[None])[0].isfinite().all()
