"""Names and shapes of hooked tensors as in TransformerLens, written out; it is not installed."""

import torch

from circuit_sparsity.core.model import GPT, GPTConfig
from circuit_sparsity.core.transformer_lens import as_transformer_lens, transformer_lens_names

# As its documentation lists a two-layer model's activations, less what is ours under no name.
THEIRS = {
    *(
        f"blocks.{layer}.{name}"
        for layer in (0, 1)
        for name in (
            *("hook_resid_pre", "attn.hook_q", "attn.hook_k", "attn.hook_v", "attn.hook_z"),
            *("hook_attn_out", "hook_resid_mid", "mlp.hook_post", "hook_mlp_out"),
        )
    ),
    "blocks.1.hook_resid_post",
}


def test_each_place_has_one_name_there_and_back():
    names = transformer_lens_names(2)
    assert set(names.values()) == THEIRS
    assert len(set(names.values())) == len(names)


def test_every_place_but_what_is_read_after_a_norm_has_a_name():
    _, cache = GPT(GPTConfig(8, 16, 2, 2, 4, 8)).run_with_cache(torch.arange(6)[None])
    left_out = {name for name in cache if name not in transformer_lens_names(2)}
    assert left_out == {f"{layer}.{block}.act_in" for layer in (0, 1) for block in ("attn", "mlp")}


@torch.no_grad()
def test_a_cache_has_its_heads_apart_and_its_streams_add_up():
    model = GPT(GPTConfig(8, 16, 2, 2, 4, 8))
    logits, cache = model.run_with_cache(torch.arange(6)[None])
    assert torch.equal(logits, model(torch.arange(6)[None])[0])
    theirs = as_transformer_lens(cache, model.config)
    assert theirs["blocks.0.attn.hook_q"].shape == (1, 6, 2, 4)
    for before, change, after in (
        ("hook_resid_pre", "hook_attn_out", "hook_resid_mid"),
        ("hook_resid_mid", "hook_mlp_out", "hook_resid_post"),
    ):
        total = theirs[f"blocks.1.{before}"] + theirs[f"blocks.1.{change}"]
        torch.testing.assert_close(theirs[f"blocks.1.{after}"], total)


def test_a_pattern_keeps_only_what_it_matches():
    _, cache = GPT(GPTConfig(8, 16, 2, 2, 4, 8)).run_with_cache(torch.arange(6)[None], "1.mlp")
    assert list(cache) == ["1.mlp.act_in", "1.mlp.post_act", "1.mlp.resid_delta"]
