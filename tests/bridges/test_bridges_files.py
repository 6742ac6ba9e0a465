"""Files of bridges: what is written is read again, and what is damaged is named."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from circuit_sparsity.bridges.files import (
    FILE,
    FORMAT,
    BridgeFileError,
    StoredBridges,
    read_bridges,
    read_description,
    write_bridges,
)
from circuit_sparsity.bridges.released import read_released
from tests.bridges.rotated import D_DENSE, D_SPARSE, config, rotated_pair


@pytest.fixture
def made():
    return rotated_pair()


@pytest.fixture
def written(made, tmp_path):
    stored = StoredBridges(made.bridges, "one", "other", "f00d")
    return write_bridges(stored, tmp_path / FILE)


def test_what_is_written_is_read_again(made, written):
    found = read_bridges(written)
    assert (found.sparse, found.dense, found.tokenizer) == ("one", "other", "f00d")
    assert found.bridges.pairing == made.bridges.pairing
    assert found.bridges.kept == D_SPARSE
    for name, x in made.bridges.state_dict().items():
        assert torch.equal(found.bridges.state_dict()[name], x)
    assert not any(parameter.requires_grad for parameter in found.bridges.parameters())


def test_the_layout_is_the_documented_one(written):
    tensors = load_file(written)
    assert len(tensors) == 16
    assert tensors["3.encoder.weight"].shape == (D_SPARSE, D_DENSE)
    assert tensors["3.decoder.weight"].shape == (D_DENSE, D_SPARSE)
    assert tensors["0.decoder.bias"].shape == (D_DENSE,)
    assert read_description(written) == {
        "format": FORMAT, "sparse": "one", "dense": "other", "kept": "12", "tokenizer": "f00d",
        "pairing": "0.attn=0.attn 0.mlp=0.mlp 1.attn=1.attn 1.mlp=1.mlp",
    }  # fmt: skip


def change(path, tensors=None, **metadata):
    told = read_description(path) | metadata
    save_file(load_file(path) | (tensors or {}), path, told)


def test_an_empty_or_cut_file_is_named_with_its_length(written):
    content = written.read_bytes()
    written.write_bytes(content[:-10])
    with pytest.raises(BridgeFileError, match=f"is {len(content) - 10:,} bytes long and should be"):
        read_bridges(written)
    written.write_bytes(b"")
    with pytest.raises(BridgeFileError, match="is 0 bytes long"):
        read_bridges(written)
    written.unlink()
    with pytest.raises(BridgeFileError, match="no bridges at .*; train some with"):
        read_bridges(written)


def test_a_number_that_is_not_finite_is_refused_both_ways(made, written):
    bad = torch.zeros(D_SPARSE)
    bad[3] = float("nan")
    change(written, {"2.encoder.bias": bad})
    with pytest.raises(BridgeFileError, match="2.encoder.bias holds 1 numbers that are not finite"):
        read_bridges(written)
    bridges = made.bridges
    with torch.no_grad():
        bridges[1].decoder.weight[0, 0] = float("inf")
    before = written.read_bytes()
    with pytest.raises(BridgeFileError, match="1.decoder.weight holds 1 numbers"):
        write_bridges(StoredBridges(bridges, "one", "other", "f00d"), written)
    assert written.read_bytes() == before


@pytest.mark.parametrize(
    ("tensors", "metadata", "said"),
    [
        ({"0.decoder.weight": torch.zeros(5, 5)}, {}, r"0.decoder.weight is \(5, 5\), expected"),
        ({"9.decoder.weight": torch.zeros(5, 5)}, {}, "has 9.decoder.weight besides"),
        ({}, {"format": "something"}, "its format is 'something'"),
        ({}, {"kept": "many"}, "kept 'many'"),
        ({}, {"kept": "40"}, "keep 40 of 12 entries"),
        ({}, {"pairing": "0.attn=0.attn"}, "has 1.decoder.bias besides"),
        ({}, {"pairing": "0.attn=0.atn"}, "not a site: '0.atn'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said_in_one_sentence(written, tensors, metadata, said):
    change(written, tensors, **metadata)
    with pytest.raises(BridgeFileError, match=said):
        read_bridges(written)


def test_a_safetensors_file_of_something_else_is_no_file_of_bridges(tmp_path):
    save_file({"x": torch.zeros(2)}, tmp_path / FILE)
    with pytest.raises(BridgeFileError, match="is not a file of bridges: its format is None"):
        read_bridges(tmp_path / FILE)


def layouts(bridges):
    """The same bridges as others might have stored them."""
    named = {}
    for i, bridge in enumerate(bridges):
        named[f"encoders.{i}.weight"] = bridge.encoder.weight
        named[f"encoders.{i}.bias"] = bridge.encoder.bias
        named[f"decoders.{i}.weight"] = bridge.decoder.weight
        named[f"decoders.{i}.bias"] = bridge.decoder.bias
    by_shape = {
        f"sites.{i}": {"a": bridge.encoder.weight, "b": bridge.decoder.weight}
        for i, bridge in enumerate(bridges)
    }
    stacked = {
        "W_enc": torch.stack([bridge.encoder.weight.T for bridge in bridges]),
        "b_enc": torch.stack([bridge.encoder.bias for bridge in bridges]),
        "W_dec": torch.stack([bridge.decoder.weight.T for bridge in bridges]),
        "b_dec": torch.stack([bridge.decoder.bias for bridge in bridges]),
    }
    return {"named": named, "by shape": by_shape, "stacked": stacked}


@pytest.mark.parametrize("layout", ["named", "by shape", "stacked"])
def test_released_bridges_are_told_by_their_shapes(made, tmp_path, layout):
    bridges = made.bridges
    with torch.no_grad():
        if layout != "by shape":
            bridges[2].encoder.bias.fill_(0.5)
    path = tmp_path / "final_bridges.pt"
    torch.save(layouts(bridges)[layout], path)
    found = read_released(path, made.sparse.config, made.dense.config)
    for one, other in zip(found.bridges, bridges, strict=True):
        assert torch.equal(one.encoder.weight, other.encoder.weight)
        assert torch.equal(one.decoder.weight, other.decoder.weight)
        assert torch.equal(one.encoder.bias, other.encoder.bias)
    assert any("an encoder" in note for note in found.notes)
    assert "an encoder keeps 6 entries" in found.notes[-1]  # afrac is a half of 12


def test_released_bridges_that_cannot_be_told_apart_are_refused(made, tmp_path):
    path = tmp_path / "final_bridges.pt"
    square = config(D_SPARSE)
    torch.save({f"{i}.{name}": torch.eye(D_SPARSE) for i in range(4) for name in "ab"}, path)
    with pytest.raises(BridgeFileError, match="nothing says whether it encodes or decodes"):
        read_released(path, square, square)
    with pytest.raises(BridgeFileError, match="0.a is 12 × 12; expected bridges between residual"):
        read_released(path, made.sparse.config, made.dense.config)
    torch.save({"encoder.weight": torch.zeros(D_SPARSE, D_DENSE)}, path)
    with pytest.raises(BridgeFileError, match="holds 1 encoders .* and 0 decoders; expected 4"):
        read_released(path, made.sparse.config, made.dense.config)
    torch.save({"note": "nothing"}, path)
    with pytest.raises(BridgeFileError, match="a dict without tensors"):
        read_released(path, made.sparse.config, made.dense.config)


def test_an_empty_or_cut_released_file_is_named(made, tmp_path):
    path = tmp_path / "final_bridges.pt"
    path.write_bytes(b"")
    with pytest.raises(BridgeFileError, match="is 0 bytes long and should be more than 0"):
        read_released(path, made.sparse.config, made.dense.config)
    torch.save(layouts(made.bridges)["named"], path)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(BridgeFileError, match="is 3,000 bytes long"):
        read_released(path, made.sparse.config, made.dense.config)
    path.write_text(json.dumps({"not": "a file of torch"}))
    with pytest.raises(BridgeFileError, match="final_bridges.pt"):
        read_released(path, made.sparse.config, made.dense.config)
