"""The model against what the reference implementation computed for nine configurations."""

from pathlib import Path

import pytest
import torch

from circuit_sparsity.core.attention import attend, attention_pattern
from circuit_sparsity.core.checkpoint import load_state, parse_config
from circuit_sparsity.core.hooks import Recorder, ambient, chain, replace
from circuit_sparsity.core.model import GPT, GPTConfig

GOLDEN = sorted((Path(__file__).parent.parent / "data" / "golden").glob("parity_*.pt"))


def load(path: Path) -> tuple[GPT, dict]:
    golden = torch.load(path, weights_only=True)
    model = GPT(parse_config(golden["config"], path.name)).eval()
    load_state(model, golden["state_dict"], path.name)
    return model, golden


def distance(got: torch.Tensor, reference: torch.Tensor) -> float:
    return float((got - reference).abs().max() / reference.abs().max().clamp(min=1e-12))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
@torch.no_grad()
def test_every_hooked_tensor_equals_the_reference(path):
    model, golden = load(path)
    recorder = Recorder()
    logits, loss, inputs = model(golden["idx"], golden["targets"], hook=recorder)
    assert distance(logits, golden["logits"]) < 2e-5
    assert distance(loss, golden["loss"]) < 2e-5
    assert set(recorder.tensors) == set(golden["hooks"])
    for name, reference in golden["hooks"].items():
        assert distance(recorder.tensors[name], reference) < 2e-5, name
    assert len(inputs) == model.config.n_layer


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
@torch.no_grad()
def test_interventions_equal_the_reference(path):
    model, golden = load(path)
    intervention = golden["intervention"]
    changes = {}
    for name, (channel, value) in intervention["set_value"].items():

        def set_value(x, channel=channel, value=value):
            x = x.clone()
            x[..., channel] = value
            return x

        changes[name] = set_value
    for name, fill in intervention["mean_fill"].items():
        changes[name] = lambda x, fill=fill: torch.where(fill["mask"].bool(), x, fill["mean"])
    recorder = Recorder()
    logits, _, _ = model(golden["idx"], hook=chain(replace(changes), recorder))
    assert distance(logits, intervention["logits"]) < 2e-5
    for name, reference in intervention["hooks"].items():
        assert distance(recorder.tensors[name], reference) < 2e-5, name


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
@torch.no_grad()
def test_a_pattern_records_the_names_the_reference_records(path):
    model, golden = load(path)
    pattern, names = golden["recorded_with_regex"]
    recorder = Recorder(pattern)
    model(golden["idx"], hook=recorder)
    assert sorted(recorder.tensors) == sorted(names)


@torch.no_grad()
def test_recording_changes_nothing():
    model, golden = load(GOLDEN[0])
    plain = model(golden["idx"])[0]
    assert torch.equal(plain, model(golden["idx"], hook=Recorder())[0])


@torch.no_grad()
def test_an_ambient_hook_ends_with_its_block():
    model, golden = load(GOLDEN[0])
    plain = model(golden["idx"])[0]
    with ambient(replace({"0.mlp.post_act": torch.zeros_like})):
        changed = model(golden["idx"])[0]
    assert not torch.equal(plain, changed)
    assert torch.equal(plain, model(golden["idx"])[0])


def written_out_attention(q, k, v, sink):
    """Attention by loops over queries, as one would on paper."""
    out = torch.zeros_like(q)
    for b, h, t in torch.cartesian_prod(*map(torch.arange, q.shape[:3])).tolist():
        scores = [float(q[b, h, t] @ k[b, h, j]) / q.shape[-1] ** 0.5 for j in range(t + 1)]
        slots = scores if sink is None else [float(sink[h]), *scores]
        weights = torch.tensor(slots).softmax(0)[-len(scores) :]
        out[b, h, t] = sum(w * v[b, h, j] for j, w in enumerate(weights))
    return out


@pytest.mark.parametrize("with_sink", [False, True])
def test_attention_equals_a_written_out_sum(with_sink):
    generator = torch.Generator().manual_seed(0)
    q, k, v = torch.randn(3, 2, 3, 5, 4, generator=generator)
    sink = torch.tensor([0.5, -1.0, 2.0]) if with_sink else None
    reference = written_out_attention(q, k, v, sink)
    torch.testing.assert_close(attend(q, k, v, sink), reference, rtol=1e-5, atol=1e-6)
    pattern = attention_pattern(q, k, sink)
    torch.testing.assert_close(pattern.sum(-1), torch.ones(2, 3, 5))
    weights = pattern[..., int(with_sink) :]
    torch.testing.assert_close(weights @ v, reference, rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_the_sink_counts_also_where_flash_is_off():
    config = GPTConfig(
        16, 32, 1, 2, 8, 16, d_mlp=32, rms_norm=True, tied_unembed=False, sink=True, flash=False
    )
    model = GPT(config)
    model.initialise(seed=0)
    tokens = torch.arange(8)[None]
    recorder = Recorder("0.attn.(q|k|v|y)")
    model(tokens, hook=recorder)
    heads = {
        name[-1]: x.unflatten(-1, (2, 8)).transpose(1, 2) for name, x in recorder.tensors.items()
    }
    y = written_out_attention(heads["q"], heads["k"], heads["v"], torch.zeros(2))
    torch.testing.assert_close(heads["y"], y, rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_concatenated_positions_compete_in_the_top_k():
    config = GPTConfig(
        16,
        32,
        1,
        2,
        8,
        16,
        d_mlp=32,
        rms_norm=True,
        tied_unembed=False,
        afrac=0.25,
        afrac_loctypes="attn_in,mlp_in",
        d_pos_emb=8,
    )
    model = GPT(config)
    model.initialise(seed=1)
    recorder = Recorder(".*(act_in|resid_in)")
    tokens = torch.arange(6)[None]
    model(tokens, hook=recorder)
    block = model.blocks[0]
    read = torch.cat(
        (
            block.ln_1(recorder.tensors["0.resid_in"]),
            block.ln_p1(model.transformer.wpe.weight[:6])[None],
        ),
        dim=-1,
    )
    keep = read.abs() >= read.abs().sort(-1, descending=True).values[..., 5:6]
    torch.testing.assert_close(recorder.tensors["0.attn.act_in"], read * keep)


def test_a_prompt_longer_than_the_context_says_so():
    model = GPT(GPTConfig(4, 8, 1, 1, 4, 4, d_mlp=8))
    with pytest.raises(ValueError, match="has 5 tokens; the model's context is 4: cut it"):
        model(torch.zeros(1, 5, dtype=torch.long))


def test_an_unknown_top_k_place_is_named():
    with pytest.raises(ValueError, match=r"names \['attn_y'\]; known places: attn_in"):
        GPTConfig(afrac=0.5, afrac_loctypes="attn_in,attn_y")
