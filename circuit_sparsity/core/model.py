"""The released decoder, top to bottom: a pre-norm GPT-2 with sparse activations and hooks.

What it does not do: dropout, key-value caches, tensor parallelism, reading files. Parameter and
hook names are those of the release, so its state dicts load as they are. Every hooked tensor is
the one after that place's activation top-k.
"""

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from circuit_sparsity.core.attention import attend
from circuit_sparsity.core.config import TOP_K_PLACES as TOP_K_PLACES
from circuit_sparsity.core.config import GPTConfig as GPTConfig
from circuit_sparsity.core.hooks import Hook, Recorder, ambient_hook, chain, no_hook
from circuit_sparsity.core.sparse_modules import SparseEmbedding, SparseLinear
from circuit_sparsity.kernels import abs_top_k


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

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        state_dict.pop(f"{prefix}bias", None)  # the causal mask, which old files store
        super()._load_from_state_dict(state_dict, prefix, *rest)

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
        read = self.ln_1(x) if positions is None else _join(self.ln_1(x), self.ln_p1(positions))
        x = self._cut_mid(self._add(x + self.attn(read, hook)))
        x = hook(f"{self.layer}.resid_mid", x)
        read = self.ln_2(x) if positions is None else _join(self.ln_2(x), self.ln_p2(positions))
        return self._cut_end(self._add(x + self.mlp(read, hook)))


def _join(
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
        self.initialise()

    @property
    def blocks(self) -> list[Block]:
        """The layers in order."""
        return cast(list[Block], list(self.transformer.h))

    @property
    def device(self) -> torch.device:
        """Where its tensors are."""
        return self.final_logits_bias.device

    def initialise(self, seed: int | None = None) -> None:
        """Draw fresh weights: normal 0.02, ``c_proj`` 0.02/sqrt(2·layers), biases 0.

        By ``seed``, or by torch's own generator, as every new model is.
        """
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        deep = 0.02 / math.sqrt(2 * self.config.n_layer)
        for name, parameter in self.named_parameters():
            if name.endswith(".weight") and parameter.dim() == 2:
                std = deep if name.endswith("c_proj.weight") else 0.02
                nn.init.normal_(parameter, std=std, generator=generator)
            elif name.endswith(".bias") or "sink_logit" in name or "bigram" in name:
                nn.init.zeros_(parameter)
        if self.config.sinusoidal_cat_pos_emb and self.device.type != "meta":
            with torch.no_grad():
                self.transformer.wpe.weight.copy_(_waves(self.config))

    def forward(
        self,
        idx: Int[Tensor, "batch pos"],
        targets: Int[Tensor, "batch pos"] | None = None,
        include_resid_mid: bool = False,
        hook: Hook = no_hook,
    ) -> tuple[Float[Tensor, "batch pos vocab"], Float[Tensor, "*one"], list[Tensor]]:
        """Logits, mean cross-entropy in nats per token, and block inputs.

        Targets of −1 do not count; without targets the loss is a zero of shape (1,). With
        ``include_resid_mid`` the third value has the stream before each MLP too: two a layer.
        Raises ValueError when ``idx`` is no batch of the model's tokens, or is longer than
        ``block_size``.
        """
        x, positions = self._embed(idx)
        hook = chain(ambient_hook(), hook)
        x, inputs = self._run_blocks(x, positions, hook, 0, include_resid_mid)
        logits = self.unembed(x, idx)
        return logits, _loss(logits, targets), inputs

    def forward_tail(
        self,
        x: Float[Tensor, "batch pos d_model"],
        n: int,
        targets: Int[Tensor, "batch pos"] | None = None,
        additional_logits_bias: Float[Tensor, "batch pos vocab"] | None = None,
        include_resid_mid: bool = False,
        pos_emb_to_cat: Float[Tensor, "*one pos d_pos_emb"] | None = None,
    ) -> tuple[Float[Tensor, "batch pos vocab"], Float[Tensor, "*one"], list[Tensor]]:
        """What ``forward`` gives from the residual stream ``x`` before block ``n`` on.

        With ``include_resid_mid`` blocks are counted in halves: an odd ``n`` begins before the MLP
        of layer ``n // 2``. The bigram table's rows are ``additional_logits_bias``; concatenated
        positions are ``pos_emb_to_cat``, or the model's own. Hooks have the names of the layers
        that run; the reference counts them from zero again. Raises ValueError when there is no
        such block.
        """
        last = self.config.n_layer * (2 if include_resid_mid else 1)
        if not 0 <= n <= last:
            raise ValueError(f"n is {n}; expected a block from 0 to {last}, the last being the end")
        positions = None
        if self.config.d_pos_emb:
            own = self.transformer.wpe.weight[: x.shape[1]]
            positions = own if pos_emb_to_cat is None else pos_emb_to_cat.reshape(own.shape)
        x, inputs = self._run_blocks(x, positions, ambient_hook(), n, include_resid_mid)
        logits = self.lm_head(self.transformer.ln_f(x)) + self.final_logits_bias
        if additional_logits_bias is not None:
            logits = logits + additional_logits_bias
        return logits, _loss(logits, targets), inputs

    def residual(
        self, idx: Int[Tensor, "batch pos"], hook: Hook = no_hook, blocks: int | None = None
    ) -> tuple[Float[Tensor, "rows pos d_model"], list[Tensor]]:
        """The final residual stream (before ``ln_f``) and the input of each block.

        It has as many rows as ``idx``, unless a hook on the residual stream lets further ones in.
        With ``blocks``, only the first so many are run: the stream is then the one after them.
        """
        x, positions = self._embed(idx)
        return self._run_blocks(x, positions, chain(ambient_hook(), hook), blocks=blocks)

    def _embed(
        self, idx: Int[Tensor, "batch pos"]
    ) -> tuple[Float[Tensor, "batch pos d_model"], Float[Tensor, "pos d_pos_emb"] | None]:
        """The first residual stream, and positions where they are concatenated."""
        check_tokens(idx, self.config)
        positions = self.transformer.wpe.weight[: idx.shape[1]]
        x = self.transformer.wte(idx)
        return (x, positions) if self.config.d_pos_emb else (x + positions, None)

    def _run_blocks(
        self,
        x: Float[Tensor, "batch pos d_model"],
        positions: Float[Tensor, "pos d_pos_emb"] | None,
        hook: Hook,
        start: int = 0,
        halves: bool = False,
        blocks: int | None = None,
    ) -> tuple[Float[Tensor, "rows pos d_model"], list[Tensor]]:
        """The stream after all blocks from ``start`` on, and what each (or each half) was given."""
        layer, from_mlp = divmod(start, 2) if halves else (start, 0)
        middles, inputs = Recorder(r"\d+\.resid_mid$"), []
        given = chain(middles, hook) if halves else hook  # the streams before any intervention
        for block in self.blocks[layer:blocks]:
            at_mlp = bool(from_mlp) and block.layer == layer
            inputs += [] if at_mlp else [x]
            x = block(x, positions, _from_mlp(layer, x, given) if at_mlp else given)
            inputs += [middles.tensors[f"{block.layer}.resid_mid"]] if halves else []
        return x if blocks is not None else hook("final_resid", x), inputs

    def run_with_cache(
        self, tokens: Int[Tensor, "batch pos"], pattern: str | None = None
    ) -> tuple[Float[Tensor, "batch pos vocab"], dict[str, Tensor]]:
        """Logits, and every hooked tensor by name (those that ``pattern`` matches, where given).

        ``circuit_sparsity.core.transformer_lens`` gives the same under TransformerLens's names.
        """
        recorder = Recorder(pattern)
        logits, _, _ = self(tokens, hook=recorder)
        return logits, recorder.tensors

    @torch.no_grad()
    def generate(
        self,
        idx: Int[Tensor, "batch pos"],
        max_new_tokens: int,
        temperature: float = 1.0,
        top_k: int | None = None,
    ) -> Int[Tensor, "batch longer"]:
        """``idx`` and ``max_new_tokens`` more, each drawn from the model's next-token chances.

        Logits are divided by ``temperature``; with ``top_k`` only so many tokens can be drawn.
        What is longer than ``block_size`` is read from its end. Draws from torch's generator.
        """
        if temperature <= 0:
            raise ValueError(f"temperature is {temperature}; expected more than 0")
        for _ in range(max_new_tokens):
            logits = self(idx[:, -self.config.block_size :])[0][:, -1] / temperature  # batch vocab
            if top_k is not None:
                least = logits.topk(min(top_k, logits.shape[-1])).values[:, -1:]
                logits = logits.masked_fill(logits < least, -math.inf)
            drawn = torch.multinomial(logits.softmax(-1), 1)
            idx = torch.cat((idx, drawn.to(idx.dtype)), dim=1)
        return idx

    def get_num_params(self, non_embedding: bool = True) -> int:
        """Number of parameters; positions do not count unless ``non_embedding`` is false.

        A compressed map counts with its zeros, as a dense one does.
        """
        compressed = {
            id(module.matrix): math.prod(module.matrix.shape)  # tied ones once
            for module in self.modules()
            if isinstance(module, SparseLinear | SparseEmbedding)
        }
        positions = self.transformer.wpe.weight.numel() if non_embedding else 0
        dense = sum(parameter.numel() for parameter in self.parameters())
        return dense + sum(compressed.values()) - positions

    def crop_block_size(self, block_size: int) -> None:
        """Make the context shorter: positions after ``block_size`` are dropped."""
        if not 1 <= block_size <= self.config.block_size:
            raise ValueError(
                f"block_size is {block_size}; expected a length from 1 to "
                f"{self.config.block_size}, which the model has"
            )
        self.config = dataclasses.replace(self.config, block_size=block_size)
        wpe = self.transformer.wpe
        wpe.num_embeddings = block_size
        kept = wpe.weight[:block_size].detach().clone()
        wpe.weight = nn.Parameter(kept, requires_grad=wpe.weight.requires_grad)

    def unembed(
        self, x: Float[Tensor, "*batch d_model"], idx: Int[Tensor, "*batch"]
    ) -> Float[Tensor, "*batch vocab"]:
        """Logits from the final residual stream at tokens ``idx``."""
        logits = self.lm_head(self.transformer.ln_f(x)) + self.final_logits_bias
        if self.config.enable_bigram_table:
            logits = logits + F.embedding(idx, self.bigram_table)
        return logits


def check_tokens(idx: Tensor, config: GPTConfig) -> None:
    """Raise ValueError unless ``idx`` is a batch of prompts that a model of ``config`` can read."""
    if idx.dim() != 2 or idx.shape[1] == 0 or idx.is_floating_point():
        raise ValueError(
            f"tokens are a tensor of shape {tuple(idx.shape)} and type {idx.dtype}; expected "
            "token ids of shape (batch, pos), at least one: for a single prompt use tokens[None]"
        )
    if idx.shape[1] > config.block_size:
        raise ValueError(
            f"the prompt has {idx.shape[1]} tokens; the model's context is {config.block_size}: "
            f"cut it to its last {config.block_size} tokens"
        )
    for token in map(int, idx.aminmax() if len(idx) and idx.device.type == "cpu" else ()):
        if not 0 <= token < config.vocab_size:
            raise ValueError(
                f"there is no token {token}: the model's ids go from 0 to {config.vocab_size - 1}; "
                "use the tokenizer that belongs to it"
            )


def _from_mlp(layer: int, x: Tensor, hook: Hook) -> Hook:
    """A hook that makes a layer go on from its middle with ``x`` and shows nothing before that."""
    started = False

    def from_the_middle(name: str, value: Tensor) -> Tensor:
        nonlocal started
        if name == f"{layer}.resid_mid":
            started = True
            return hook(name, x)
        return hook(name, value) if started else value

    return from_the_middle


def _loss(
    logits: Float[Tensor, "batch pos vocab"], targets: Int[Tensor, "batch pos"] | None
) -> Float[Tensor, "*one"]:
    if targets is None:
        return logits.new_zeros(1)
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1)


def _waves(config: GPTConfig) -> Float[Tensor, "pos d_pos_emb"]:
    """Sines and cosines with periods log-spaced from 4 tokens to ``block_size``."""
    dim = config.d_pos_emb or config.d_model
    periods = torch.logspace(math.log10(4), math.log10(config.block_size), dim // 2)
    angles = 2 * math.pi * torch.arange(config.block_size)[:, None] / periods
    return torch.cat((angles.sin(), angles.cos()), dim=1)[:, :dim]
