"""Every form in which people have a model's files opens, or says in a sentence why it does not."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from circuit_sparsity.core.model import GPT, GPTConfig
from circuit_sparsity.core.weight_files import CheckpointError
from circuit_sparsity.runtime.assemble import load_model

SHAPE = GPTConfig(16, 32, 1, 2, 4, 8, d_mlp=16, rms_norm=True, tied_unembed=False, sink=True)
TOKENS = torch.arange(10)[None]


@pytest.fixture(scope="module")
def model() -> GPT:
    torch.manual_seed(0)
    return GPT(SHAPE).eval()


def written(folder: Path, contents: Any, old: bool = False, **config: object) -> Path:
    """A model's folder in the released layout."""
    (folder / "beeg_config.json").write_text(json.dumps({**SHAPE.to_dict(), **config}))
    torch.save(contents, folder / "final_model.pt", _use_new_zipfile_serialization=not old)
    return folder


def of_hub(folder: Path, model: GPT, parts: int = 1, **config: object) -> Path:
    """A model's folder in Hugging Face's layout, weights in one file or in several."""
    of_transformers = {"model_type": "circuitgpt", "architectures": ["CircuitGPT"], "dtype": "x"}
    (folder / "config.json").write_text(
        json.dumps({**SHAPE.to_dict(), **of_transformers, **config})
    )
    state = {f"circuit_model.{name}": x.clone() for name, x in model.state_dict().items()}
    if parts == 1:
        save_file(state, folder / "model.safetensors")
        return folder
    index = {}
    for part in range(parts):
        file = f"model-{part + 1:05}-of-{parts:05}.safetensors"
        some = dict(list(state.items())[part::parts])
        save_file(some, folder / file)
        index |= dict.fromkeys(some, file)
    text = json.dumps({"metadata": {"total_size": 1}, "weight_map": index})
    (folder / "model.safetensors.index.json").write_text(text)
    return folder


def opens(folder: Path, model: GPT) -> bool:
    return torch.equal(load_model(folder, engine="dense")(TOKENS)[0], model(TOKENS)[0])


@pytest.mark.parametrize(
    "prefix",
    ["_orig_mod.", "module.", "circuit_model.", "module._orig_mod.", "_orig_mod.module._orig_mod."],
)
def test_the_prefixes_of_wrapping_modules_are_left_off(tmp_path, model, prefix):
    state = {prefix + name: x for name, x in model.state_dict().items()}
    assert opens(written(tmp_path, state), model)


def test_blocks_compiled_one_by_one_open(tmp_path, model):
    state = {k.replace("h.0.", "h.0._orig_mod."): x for k, x in model.state_dict().items()}
    assert opens(written(tmp_path, state), model)


@pytest.mark.parametrize("old", [False, True], ids=["zip", "older format"])
@pytest.mark.parametrize("wrapper", [None, "model", "state_dict"])
def test_a_state_dict_opens_in_each_wrapper_and_format(tmp_path, model, wrapper, old):
    state = model.state_dict()
    contents = state if wrapper is None else {wrapper: state, "step": 7, "optimizer": {}}
    assert opens(written(tmp_path, contents, old), model)


@pytest.mark.parametrize("parts", [1, 3])
def test_hugging_face_s_layout_opens_without_remote_code(tmp_path, model, parts):
    assert opens(of_hub(tmp_path, model, parts), model)


def test_a_byte_order_mark_before_the_configuration_is_no_trouble(tmp_path, model):
    folder = written(tmp_path, model.state_dict())
    path = folder / "beeg_config.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert opens(folder, model)


def test_a_width_of_null_is_four_times_the_model_s(tmp_path):
    wider = {name: x for name, x in SHAPE.to_dict().items() if name != "d_mlp"}
    model = GPT(GPTConfig(**wider)).eval()
    assert opens(written(tmp_path, model.state_dict(), d_mlp=None), model)


def test_a_tied_matrix_that_is_stored_once_is_both(tmp_path):
    model = GPT(GPTConfig(**{**SHAPE.to_dict(), "tied_unembed": True})).eval()
    state = model.state_dict()
    del state["lm_head.weight"]
    assert opens(written(tmp_path, state, tied_unembed=True), model)


def refusal(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_model(folder)
    return str(caught.value)


@pytest.mark.parametrize("old", [False, True], ids=["zip", "older format"])
def test_a_pickled_module_is_told_as_one(tmp_path, model, old):
    said = refusal(written(tmp_path, model, old))
    assert "holds Python objects, such as a whole pickled module" in said
    assert "save the module's state_dict() instead" in said
    assert "delete" not in said


def test_a_pointer_of_git_lfs_is_told_as_one(tmp_path, model):
    folder = written(tmp_path, {})
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1234\n"
    (folder / "final_model.pt").write_text(pointer)
    said = refusal(folder)
    assert "is a pointer of Git LFS" in said
    assert "delete" not in said


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_named(tmp_path, model, value):
    state = {name: x.clone() for name, x in model.state_dict().items()}
    state["transformer.h.0.mlp.c_fc.weight"][3, 2] = value
    said = refusal(written(tmp_path, state))
    assert "transformer.h.0.mlp.c_fc.weight holds NaN or infinity" in said


def test_a_view_larger_than_its_file_is_refused_before_it_is_copied(tmp_path, model):
    state = dict(model.state_dict())
    state["transformer.wte.weight"] = torch.zeros(1).expand(100_000, 100_000)  # 40 GB
    assert "100000, 100000), and 4 bytes are stored for it" in refusal(written(tmp_path, state))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"n_layer": 10**7}, "n_layer is 10000000; expected a whole number from 1 to"),
        ({"vocab_size": -2048}, "vocab_size is -2048; expected a whole number from 1 to"),
        ({"d_model": 8.5}, "d_model is 8.5; expected a whole number"),
        ({"rms_norm": "yes"}, "rms_norm is 'yes'; expected true or false"),
        ({"afrac": 3}, "afrac is 3; expected a share from 0 to 1"),
        ({"d_head": None, "n_head": 3}, "d_model is 8 and n_head 3"),
    ],
)
def test_shapes_that_no_model_has_are_refused_before_anything_is_allocated(
    tmp_path, model, config, said
):
    assert said in refusal(written(tmp_path, model.state_dict(), **config))


def test_files_and_folders_in_each_other_s_place_are_told(tmp_path, model):
    folder = written(tmp_path, model.state_dict())
    assert "is a file; expected the folder of a model" in refusal(folder / "final_model.pt")
    (folder / "final_model.pt").unlink()
    assert "no weights at" in refusal(folder)


def test_the_other_things_that_a_file_may_hold_are_named(tmp_path, model):
    assert "holds a list; expected a dictionary" in refusal(written(tmp_path, [1]))
    state = {**model.state_dict(), "step": 3}
    assert "step is a int; expected nothing but tensors" in refusal(written(tmp_path, state))
    both = {**model.state_dict(), "module.lm_head.weight": torch.zeros(32, 8)}
    assert "has lm_head.weight twice, under two prefixes" in refusal(written(tmp_path, both))


def test_an_index_names_files_beside_it_that_hold_what_it_promises(tmp_path, model):
    folder = of_hub(tmp_path, model, 2)
    index = folder / "model.safetensors.index.json"
    good = json.loads(index.read_text())
    index.write_text(json.dumps({"weight_map": {**good["weight_map"], "x": "../../secret"}}))
    assert "names '../../secret'; expected a .safetensors beside it" in refusal(folder)
    extra = {**good["weight_map"], "circuit_model.more": "model-00001-of-00002.safetensors"}
    index.write_text(json.dumps({"weight_map": extra}))
    assert "promises 1 tensors that its files lack, such as circuit_model.more" in refusal(folder)
    index.write_text(json.dumps(good))
    (folder / "model-00002-of-00002.safetensors").unlink()
    assert "no weights at" in refusal(folder)


def test_another_kind_of_model_is_told(tmp_path, model):
    said = refusal(of_hub(tmp_path, model, model_type="gpt2"))
    assert "model_type is 'gpt2'; expected circuitgpt" in said
