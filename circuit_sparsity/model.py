"""The released decoder, top to bottom: a pre-norm GPT-2 with sparse activations and hooks.

What it does not do: dropout, key-value caches, tensor parallelism, reading files. Parameter and
hook names are those of the release, so its state dicts load as they are. Every hooked tensor is
the one after that place's activation top-k.
"""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from circuit_sparsity.hooks import Hook, ambient_hook, chain, no_hook
from circuit_sparsity.names import Location
from circuit_sparsity.sparse import abs_top_k

TOP_K_PLACES = (
    "attn_in",
    "attn_q",
    "attn_k",
    "attn_v",
    "attn_out",
    "mlp_in",
    "mlp_neuron",
    "mlp_out",
    "resid_post_attn",
    "resid_post_mlp",
)


@dataclass(frozen=True)
class GPTConfig:
    """Shape and options of a model, under the names of the released ``beeg_config.json``."""

    block_size: int = 1024  # longest sequence, in tokens
    vocab_size: int = 2048
    n_layer: int = 8
    n_head: int = 16
    d_head: int = 16
    d_model: int = 256
    d_mlp: int = 1024
    bias: bool = True  # in every linear map but the unembedding
    ln_bias: bool = True  # in LayerNorm; RMSNorm has none
    rms_norm: bool = True
    residual_activation_type: str = "identity"  # or relu, after each residual add
    activation_type: str = "gelu"  # exact; or relu
    afrac: float | None = None  # fraction of entries that survive each activation top-k
    afrac_loctypes: str = "attn_in,attn_out,mlp_in,mlp_out"  # where it applies
    tied_unembed: bool = False
    tokenizer_name: str = "tinypython_2k"
    enable_bigram_table: bool = False
    learnable_bigram_table: bool = False  # a parameter, or a fixed buffer
    d_pos_emb: int | None = None  # concatenated position channels; None: positions are added
    sinusoidal_cat_pos_emb: bool = False
    sink: bool = False  # a learned attention logit per head that leads to nothing
    flash: bool = True  # kept for the file format: both settings mean the same numbers

    def __post_init__(self) -> None:
        unknown = set(self.top_k_places) - set(TOP_K_PLACES)
        if unknown:
            raise ValueError(
                f"afrac_loctypes names {sorted(unknown)}; known places: {', '.join(TOP_K_PLACES)}"
            )
        if self.activation_type not in ("gelu", "relu"):
            raise ValueError(f"activation_type is {self.activation_type!r}; expected gelu or relu")
        if self.residual_activation_type not in ("identity", "relu"):
            raise ValueError(
                f"residual_activation_type is {self.residual_activation_type!r}; "
                "expected identity or relu"
            )

    @property
    def top_k_places(self) -> tuple[str, ...]:
        """The places whose activations are cut to ``afrac`` of their entries."""
        return tuple(place.strip() for place in self.afrac_loctypes.split(",") if place.strip())

    @property
    def d_attn(self) -> int:
        return self.n_head * self.d_head

    @property
    def d_read(self) -> int:
        """Channels that attention and MLP read: the residual's and the concatenated positions'."""
        return self.d_model + (self.d_pos_emb or 0)

    def width(self, location: Location) -> int:
        """Number of channels at ``location``."""
        if location.kind == "act_in":
            return self.d_read
        if location.kind == "post_act":
            return self.d_mlp
        return self.d_attn if location.kind in ("q", "k", "v") else self.d_model

    def kept(self, place: str, dim: int) -> int | None:
        """How many of ``dim`` entries survive at a top-k place; None when all do."""
        if self.afrac is None or place not in self.top_k_places:
            return None
        return int(self.afrac * dim)

    def to_dict(self) -> dict[str, object]:
        return dataclasses.asdict(self)


def _sparsify(config: GPTConfig, place: str, dim: int) -> Callable[[Tensor], Tensor]:
    kept = config.kept(place, dim)
    return nn.Identity() if kept is None else partial(abs_top_k, k=kept)


def _norm(config: GPTConfig, dim: int) -> nn.Module:
    return nn.RMSNorm(dim) if config.rms_norm else nn.LayerNorm(dim, bias=config.ln_bias)


class AttentionSink(nn.Module):
    """Where the released files keep the sink: one logit per head."""

    def __init__(self, n_head: int) -> None:
        super().__init__()
        self.sink_logit = nn.Parameter(torch.zeros(n_head))


def attend(
    q: Float[Tensor, "batch head pos d_head"],
    k: Float[Tensor, "batch head pos d_head"],
    v: Float[Tensor, "batch head pos d_head"],
    sink: Float[Tensor, " head"] | None,
) -> Float[Tensor, "batch head pos d_head"]:
    """Causal attention at scale 1/sqrt(d_head), with the sink as an extra slot of value zero.

    The sink becomes a key that stands before position 0: one more channel carries its logit, so
    the ordinary causal kernel computes it. In bfloat16 on a CPU the written-out form is used: it
    takes a third of the kernel's time forward and backward (32 × 16 heads × 128 tokens).
    """
    if q.dtype == torch.bfloat16 and q.device.type == "cpu":
        return attention_pattern(q, k, sink)[..., -q.shape[-2] :].to(v.dtype) @ v
    if sink is None:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    scale = 1 / math.sqrt(q.shape[-1])
    q = F.pad(q, (0, 1, 1, 0), value=1.0)  # batch head pos+1 d_head+1
    k, v = F.pad(k, (0, 1, 1, 0)), F.pad(v, (0, 1, 1, 0))
    slot = F.pad(
        (sink / scale).to(k.dtype)[:, None, None], (k.shape[-1] - 1, 0, 0, k.shape[-2] - 1)
    )
    out = F.scaled_dot_product_attention(q, k + slot, v, is_causal=True, scale=scale)
    return out[..., 1:, :-1]  # batch head pos d_head


def attention_pattern(
    q: Float[Tensor, "batch head pos d_head"],
    k: Float[Tensor, "batch head pos d_head"],
    sink: Float[Tensor, " head"] | None,
) -> Float[Tensor, "batch head pos slot"]:
    """Attention weights; each row sums to 1. With a sink, slot 0 is the sink and token j is j+1."""
    pos = q.shape[-2]
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])  # batch head pos pos
    hidden = torch.ones(pos, pos, dtype=torch.bool, device=q.device).triu(1)
    scores = scores.masked_fill(hidden, -math.inf)
    if sink is not None:
        slot = sink[None, :, None, None].expand(*scores.shape[:-1], 1)
        scores = torch.cat((slot, scores), dim=-1)
    return scores.softmax(dim=-1)


class Attention(nn.Module):
    """Residual stream and positions in, residual delta out."""

    def __init__(self, config: GPTConfig, layer: int) -> None:
        super().__init__()
        self.config, self.layer = config, layer
        self.c_attn = nn.Linear(config.d_read, 3 * config.d_attn, bias=config.bias)
        self.c_proj = nn.Linear(config.d_attn, config.d_model, bias=config.bias)
        if config.sink:
            self.attn_imp = AttentionSink(config.n_head)
        self._cut_in = _sparsify(config, "attn_in", config.d_read)
        self._cut = {name: _sparsify(config, f"attn_{name}", config.d_attn) for name in "qkv"}
        self._cut_out = _sparsify(config, "attn_out", config.d_model)

    @property
    def sink_logit(self) -> Float[Tensor, " head"] | None:
        return self.attn_imp.sink_logit if self.config.sink else None

    def forward(
        self, read: Float[Tensor, "batch pos d_read"], hook: Hook
    ) -> Float[Tensor, "batch pos d_model"]:
        at = f"{self.layer}.attn"
        read = hook(f"{at}.act_in", self._cut_in(read))
        parts = self.c_attn(read).split(self.config.d_attn, dim=-1)
        cut = dict(zip("qkv", parts, strict=True))
        # The reference hooks k before q; the order shows in what a recorder holds.
        k, q, v = (hook(f"{at}.{name}", self._cut[name](cut[name])) for name in "kqv")
        y = attend(self._heads(q), self._heads(k), self._heads(v), self.sink_logit)
        y = hook(f"{at}.y", y.transpose(1, 2).flatten(2))  # batch pos d_attn
        return hook(f"{at}.resid_delta", self._cut_out(self.c_proj(y)))

    def _heads(
        self, x: Float[Tensor, "batch pos d_attn"]
    ) -> Float[Tensor, "batch head pos d_head"]:
        return x.unflatten(-1, (self.config.n_head, self.config.d_head)).transpose(1, 2)


class MLP(nn.Module):
    """Residual stream and positions in, residual delta out."""

    def __init__(self, config: GPTConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.c_fc = nn.Linear(config.d_read, config.d_mlp, bias=config.bias)
        self.c_proj = nn.Linear(config.d_mlp, config.d_model, bias=config.bias)
        self._activation = F.gelu if config.activation_type == "gelu" else F.relu
        self._cut_in = _sparsify(config, "mlp_in", config.d_read)
        self._cut_neuron = _sparsify(config, "mlp_neuron", config.d_mlp)
        self._cut_out = _sparsify(config, "mlp_out", config.d_model)

    def forward(
        self, read: Float[Tensor, "batch pos d_read"], hook: Hook
    ) -> Float[Tensor, "batch pos d_model"]:
        at = f"{self.layer}.mlp"
        read = hook(f"{at}.act_in", self._cut_in(read))
        neurons = self._cut_neuron(self._activation(self.c_fc(read)))
        neurons = hook(f"{at}.post_act", neurons)
        return hook(f"{at}.resid_delta", self._cut_out(self.c_proj(neurons)))


class Block(nn.Module):
    """One layer: attention, then MLP, each added to the residual stream."""

    def __init__(self, config: GPTConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.ln_1 = _norm(config, config.d_model)
        self.attn = Attention(config, layer)
        self.ln_2 = _norm(config, config.d_model)
        self.mlp = MLP(config, layer)
        if config.d_pos_emb:
            self.ln_p1 = _norm(config, config.d_pos_emb)
            self.ln_p2 = _norm(config, config.d_pos_emb)
        self._add = F.relu if config.residual_activation_type == "relu" else nn.Identity()
        self._cut_mid = _sparsify(config, "resid_post_attn", config.d_model)
        self._cut_end = _sparsify(config, "resid_post_mlp", config.d_model)

    def forward(
        self,
        x: Float[Tensor, "batch pos d_model"],
        positions: Float[Tensor, "pos d_pos_emb"] | None,
        hook: Hook,
    ) -> Float[Tensor, "rows pos d_model"]:
        x = hook(f"{self.layer}.resid_in", x)
        read = self.ln_1(x) if positions is None else _beside(self.ln_1(x), self.ln_p1(positions))
        x = self._cut_mid(self._add(x + self.attn(read, hook)))
        x = hook(f"{self.layer}.resid_mid", x)
        read = self.ln_2(x) if positions is None else _beside(self.ln_2(x), self.ln_p2(positions))
        return self._cut_end(self._add(x + self.mlp(read, hook)))


def _beside(
    x: Float[Tensor, "batch pos d_model"], positions: Float[Tensor, "pos d_pos_emb"]
) -> Float[Tensor, "batch pos d_read"]:
    return torch.cat((x, positions.expand(x.shape[0], -1, -1)), dim=-1)


class Transformer(nn.Module):
    """Everything before the unembedding, under the released parameter names."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.wte = nn.Embedding(config.vocab_size, config.d_model)
        self.wpe = nn.Embedding(config.block_size, config.d_pos_emb or config.d_model)
        self.h = nn.ModuleList([Block(config, layer) for layer in range(config.n_layer)])
        self.ln_f = _norm(config, config.d_model)


class GPT(nn.Module):
    """A decoder of ``config``'s shape: token ids in, logits out, a hook on every named tensor."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        self.transformer = Transformer(config)
        # Fixed waves are no parameters to learn; they stay in the state dict as the release's do.
        self.transformer.wpe.weight.requires_grad_(not config.sinusoidal_cat_pos_emb)
        self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        if config.tied_unembed:
            self.lm_head.weight = self.transformer.wte.weight
        self.final_logits_bias: Tensor
        self.register_buffer("final_logits_bias", torch.zeros(config.vocab_size))
        if config.enable_bigram_table:
            table = torch.zeros(config.vocab_size, config.vocab_size)
            if config.learnable_bigram_table:
                self.bigram_table = nn.Parameter(table)
            else:
                self.register_buffer("bigram_table", table)

    @property
    def blocks(self) -> list[Block]:
        """The layers in order."""
        return cast(list[Block], list(self.transformer.h))

    @property
    def device(self) -> torch.device:
        """Where its tensors are."""
        return self.final_logits_bias.device

    def initialise(self, seed: int) -> None:
        """Draw fresh weights: normal 0.02, ``c_proj`` 0.02/sqrt(2·layers), biases 0."""
        generator = torch.Generator().manual_seed(seed)
        deep = 0.02 / math.sqrt(2 * self.config.n_layer)
        for name, parameter in self.named_parameters():
            if name.endswith(".weight") and parameter.dim() == 2:
                std = deep if name.endswith("c_proj.weight") else 0.02
                nn.init.normal_(parameter, std=std, generator=generator)
            elif name.endswith(".bias") or "sink_logit" in name or "bigram" in name:
                nn.init.zeros_(parameter)
        if self.config.sinusoidal_cat_pos_emb:
            with torch.no_grad():
                self.transformer.wpe.weight.copy_(_waves(self.config))

    def forward(
        self,
        idx: Int[Tensor, "batch pos"],
        targets: Int[Tensor, "batch pos"] | None = None,
        hook: Hook = no_hook,
    ) -> tuple[Float[Tensor, "batch pos vocab"], Float[Tensor, ""], list[Tensor]]:
        """Logits, mean cross-entropy in nats per token (0 without targets), and block inputs.

        Targets of −1 do not count. Raises ValueError when the sequence is longer than
        ``block_size``.
        """
        x, inputs = self.residual(idx, hook)
        logits = self.unembed(x, idx)
        if targets is None:
            return logits, logits.new_zeros(()), inputs
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1)
        return logits, loss, inputs

    def residual(
        self, idx: Int[Tensor, "batch pos"], hook: Hook = no_hook
    ) -> tuple[Float[Tensor, "rows pos d_model"], list[Tensor]]:
        """The final residual stream (before ``ln_f``) and the input of each block.

        It has as many rows as ``idx``, unless a hook on the residual stream lets further ones in.
        """
        pos = idx.shape[1]
        if pos > self.config.block_size:
            raise ValueError(
                f"the prompt has {pos} tokens; the model's context is {self.config.block_size}: "
                f"cut it to its last {self.config.block_size} tokens"
            )
        hook = chain(ambient_hook(), hook)
        positions = self.transformer.wpe.weight[:pos]
        x = self.transformer.wte(idx)
        if not self.config.d_pos_emb:
            x, positions = x + positions, None
        inputs = []
        for block in self.blocks:
            inputs.append(x)
            x = block(x, positions, hook)
        return hook("final_resid", x), inputs

    def unembed(
        self, x: Float[Tensor, "*batch d_model"], idx: Int[Tensor, "*batch"]
    ) -> Float[Tensor, "*batch vocab"]:
        """Logits from the final residual stream at tokens ``idx``."""
        logits = self.lm_head(self.transformer.ln_f(x)) + self.final_logits_bias
        if self.config.enable_bigram_table:
            logits = logits + F.embedding(idx, self.bigram_table)
        return logits


def _waves(config: GPTConfig) -> Float[Tensor, "pos d_pos_emb"]:
    """Sines and cosines with periods log-spaced from 4 tokens to ``block_size``."""
    dim = config.d_pos_emb or config.d_model
    periods = torch.logspace(math.log10(4), math.log10(config.block_size), dim // 2)
    angles = 2 * math.pi * torch.arange(config.block_size)[:, None] / periods
    return torch.cat((angles.sin(), angles.cos()), dim=1)[:, :dim]
