"""Compiled circuits on whatever hypothesis thinks of: kept sets, ablations, architectures."""

import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from circuit_sparsity.core import model as model_module
from circuit_sparsity.runtime.compiled import compile_circuit
from circuit_sparsity.runtime.compiled import masked_run as full
from circuit_sparsity.runtime.compiled.masked_run import full_run
from tests.runtime.random_circuits import (
    EVERY_TOP_K,
    Ties,
    random_ablations,
    random_circuit,
    random_means,
    random_model,
    random_prompts,
)

PLACES = [*EVERY_TOP_K.split(","), "resid_post_attn", "resid_post_mlp"]
ARCHITECTURES = st.fixed_dictionaries(
    {
        "n_layer": st.integers(1, 3),
        "sink": st.booleans(),
        "d_pos_emb": st.sampled_from([0, 6]),
        "activation_type": st.sampled_from(["gelu", "relu"]),
        "bias": st.booleans(),
        "rms_norm": st.booleans(),
        "residual_activation_type": st.sampled_from(["identity", "relu"]),
        "afrac": st.sampled_from([None, 0.1, 0.3, 0.8]),
        "afrac_loctypes": st.sets(st.sampled_from(PLACES)).map(lambda s: ",".join(sorted(s))),
    }
)
SHARES = st.sampled_from([0.0, 0.02, 0.15, 0.5, 0.97, 1.0])
SEEDS = st.integers(0, 10_000)


# Here zeros reached the separator of a top-k that had fewer entries than it keeps.
FEW_ENTRIES = {
    "n_layer": 2,
    "sink": False,
    "d_pos_emb": 6,
    "activation_type": "gelu",
    "bias": True,
    "afrac": 0.8,
    "afrac_loctypes": "attn_in,attn_k,attn_out,attn_q,attn_v,mlp_in",
}


# Here one prompt's residual stream is zero, and three norms make .7 nats of its rounding.
NOTHING = {"n_layer": 1, "sink": False, "d_pos_emb": 6, "activation_type": "gelu", "bias": False}


@settings(max_examples=60, deadline=None)
@example(FEW_ENTRIES, 0.5, 4, "mean")
@example(NOTHING, 1.0, 7, "mean")
@given(ARCHITECTURES, SHARES, SEEDS, st.sampled_from(["mean", "zero"]))
def test_any_circuit_without_any_of_its_parts_is_the_masked_model(options, share, seed, fill):
    model = random_model(seed, density=0.15 + seed % 7 / 10, **options)
    circuit = random_circuit(model, share, seed)
    means, batch = random_means(model, seed), random_prompts(model, n=5, seed=seed)
    sets = random_ablations(circuit, model, n=6, seed=seed)
    reference, near = watched(circuit, model, means, batch, sets, fill)
    got = compile_circuit(circuit, model, means).on(batch).margins_without(sets, fill)
    off = (got - reference).abs() > 1e-5 * max(1.0, float(reference.abs().max()))
    assert not off[:, ~near].any()


def watched(circuit, model, means, batch, sets, fill):
    """The masked model's margins, and the prompts in which a top-k or a norm hung on a rounding."""
    ties, plain = Ties(), model_module.abs_top_k
    hooks = [
        part.register_forward_pre_hook(ties.before_norm)
        for name, part in model.named_modules()
        if isinstance(part, (nn.RMSNorm, nn.LayerNorm)) and "ln_p" not in name
    ]
    model_module.abs_top_k = full.abs_top_k = ties
    try:
        margins = full_run(circuit, model, means, batch).margins_without(sets, fill)
    finally:
        model_module.abs_top_k = full.abs_top_k = plain
        for hook in hooks:
            hook.remove()
    near = torch.zeros(len(batch), dtype=torch.bool) if ties.near is None else ties.near
    return margins, near
