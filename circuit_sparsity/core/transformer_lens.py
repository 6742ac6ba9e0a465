"""Our names of hooked tensors beside TransformerLens's, for the places that both have.

Left out: what attention and MLP read (``act_in``). There it is after the norm's gain, the
activation top-k and the concatenated positions; TransformerLens shows the norm before its gain.
"""

from collections.abc import Mapping

from torch import Tensor

from circuit_sparsity.core.config import GPTConfig

_IN_A_LAYER = {
    "resid_in": "hook_resid_pre",
    "attn.k": "attn.hook_k",
    "attn.q": "attn.hook_q",
    "attn.v": "attn.hook_v",
    "attn.y": "attn.hook_z",
    "attn.resid_delta": "hook_attn_out",
    "resid_mid": "hook_resid_mid",
    "mlp.post_act": "mlp.hook_post",
    "mlp.resid_delta": "hook_mlp_out",
}
_BY_HEAD = ("attn.hook_k", "attn.hook_q", "attn.hook_v", "attn.hook_z")


def transformer_lens_names(n_layer: int) -> dict[str, str]:
    """TransformerLens's name of each place by ours; no two places share one.

    >>> transformer_lens_names(2)["1.attn.resid_delta"]
    'blocks.1.hook_attn_out'
    """
    names = {
        f"{layer}.{ours}": f"blocks.{layer}.{theirs}"
        for layer in range(n_layer)
        for ours, theirs in _IN_A_LAYER.items()
    }
    return {**names, "final_resid": f"blocks.{n_layer - 1}.hook_resid_post"}


def as_transformer_lens(cache: Mapping[str, Tensor], config: GPTConfig) -> dict[str, Tensor]:
    """What ``GPT.run_with_cache`` gives, under TransformerLens's names and in its shapes.

    Queries, keys, values and the heads' outputs are (batch, pos, head, d_head) there. Places that
    it does not have are left out.
    """
    names = transformer_lens_names(config.n_layer)
    found = {names[name]: x for name, x in cache.items() if name in names}
    by_head = (config.n_head, config.d_head)
    return {
        name: x.unflatten(-1, by_head) if name.endswith(_BY_HEAD) else x
        for name, x in found.items()
    }
