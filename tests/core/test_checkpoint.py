"""Files of a model: what old ones hold, what damaged ones say, what the compact form keeps."""

import json

import pytest
import torch

from circuit_sparsity.core.checkpoint import (
    CheckpointError,
    pack,
    parse_config,
    read_config,
    save_model,
    unpack,
)
from circuit_sparsity.core.model import GPT, GPTConfig
from circuit_sparsity.kernels import SparseMatrix
from circuit_sparsity.runtime.assemble import load_model

SHAPE = GPTConfig(
    16,
    32,
    1,
    2,
    4,
    8,
    d_mlp=16,
    rms_norm=True,
    tied_unembed=False,
    sink=True,
    enable_bigram_table=True,
)


def small_model() -> GPT:
    model = GPT(SHAPE)
    model.initialise(seed=0)
    return model


@pytest.fixture
def folder(tmp_path):
    """A model in the released form."""
    (tmp_path / "beeg_config.json").write_text(json.dumps(SHAPE.to_dict()))
    torch.save(small_model().state_dict(), tmp_path / "final_model.pt")
    return tmp_path


def test_every_model_of_the_release_opens(release_fixture):
    tokens = torch.arange(12)[None]
    for folder in sorted((release_fixture / "models").iterdir()):
        logits = load_model(folder)(tokens)[0]
        assert logits.shape == (1, 12, 2048), folder
        assert bool(logits.isfinite().all()), folder


def test_the_old_name_of_the_mlp_width_is_read():
    assert parse_config({"n_mlp": 77}, "here").d_mlp == 77


def test_an_unknown_key_is_named_and_survived():
    with pytest.warns(UserWarning, match="here: unknown keys are left aside: novelty"):
        config = parse_config({"novelty": 1, "d_mlp": 5}, "here")
    assert config.d_mlp == 5


def test_a_tied_auxiliary_matrix_is_refused():
    with pytest.raises(CheckpointError, match="use_tied_aux_matrix is True"):
        parse_config({"use_tied_aux_matrix": True}, "here")


def test_a_missing_final_bias_is_zero_and_an_old_mask_is_dropped(folder):
    state = small_model().state_dict()
    del state["final_logits_bias"]
    state["transformer.h.0.attn.bias"] = torch.ones(1, 1, 16, 16)
    torch.save(state, folder / "final_model.pt")
    assert not load_model(folder).final_logits_bias.any()


def test_missing_left_over_and_misshapen_tensors_are_named(folder):
    state = small_model().state_dict()
    state["extra"] = state.pop("lm_head.weight")
    state["transformer.h.0.mlp.c_fc.weight"] = torch.zeros(3, 3)
    torch.save(state, folder / "final_model.pt")
    with pytest.raises(CheckpointError) as caught:
        load_model(folder)
    for part in (
        "missing lm_head.weight",
        "unexpected extra",
        "transformer.h.0.mlp.c_fc.weight has shape (3, 3), expected (16, 8)",
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize("size", [0, 1000])
def test_a_cut_off_checkpoint_says_which_file_and_how_long(folder, size):
    path = folder / "final_model.pt"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(
        CheckpointError, match=rf"final_model.pt is {size:,} bytes long and should be "
    ):
        load_model(folder)


def test_a_damaged_config_says_so(folder):
    (folder / "beeg_config.json").write_text('{"n_layer": ')
    with pytest.raises(CheckpointError, match="is not JSON: .*fetch the model again"):
        load_model(folder)


def test_a_folder_without_a_model_says_what_belongs_there(tmp_path):
    with pytest.raises(CheckpointError, match=r"a model folder holds beeg_config.json"):
        read_config(tmp_path / "beeg_config.json")


def test_code_in_a_checkpoint_is_not_run(folder):
    class Evil:
        def __reduce__(self):
            return (exec, ("raise SystemError('ran')",))

    torch.save({"x": Evil()}, folder / "final_model.pt")
    with pytest.raises(CheckpointError, match="cannot be read as weights"):
        load_model(folder)


def test_the_compact_form_gives_the_same_logits(tmp_path):
    model = small_model()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter[torch.rand(parameter.shape) < 0.9] = 0.0
    save_model(model, tmp_path)
    tokens = torch.arange(10)[None]
    assert torch.equal(load_model(tmp_path, engine="dense")(tokens)[0], model(tokens)[0])


def test_packing_keeps_every_value_and_drops_the_zeros():
    sparse = torch.zeros(50, 40)
    sparse[3, 7], sparse[49, 39] = 2.5, -1.0
    state = {"sparse": sparse, "dense": torch.ones(4, 4), "empty": torch.zeros(3, 3)}
    packed = pack(state)
    assert packed["sparse"].tolist() == [2.5, -1.0]
    back = unpack(packed)
    assert isinstance(back["sparse"], SparseMatrix)
    dense = {n: x.dense() if isinstance(x, SparseMatrix) else x for n, x in back.items()}
    assert all(torch.equal(dense[name], x) for name, x in state.items())
