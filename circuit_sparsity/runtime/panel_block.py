"""The model's blocks in panels: same steps, same names, same hooks, other arithmetic.

A hook sees what it sees in a dense model, tensors of (batch, pos, channel): panels are turned for
it and back, which costs .2 ns an entry, and not at all where there is no hook.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import cast

import numpy as np
import torch
from jaxtyping import Float, Int32
from torch import Tensor, nn

from circuit_sparsity.core.hooks import Hook, no_hook
from circuit_sparsity.core.model import MLP, Attention, Block, GPTConfig
from circuit_sparsity.core.sparse_modules import SparseLinear
from circuit_sparsity.kernels import (
    Layer,
    Map,
    Read,
    Write,
    abs_top_k_panels,
    add_panels,
    as_kept,
    as_map,
    attend_panels,
    from_panels,
    gelu_panels,
    norm_panels,
    run_layer,
    to_panels,
    token_bounds,
)

Panels = Float[Tensor, "panels _ 16"]


@dataclass(frozen=True)
class Layout:
    """Which token of which prompt lies where in panels."""

    prompts: int
    length: int

    def turn(self, x: Float[Tensor, "batch pos channels"]) -> Panels:
        return to_panels(x.reshape(-1, x.shape[-1]))

    def turn_back(self, panels: Panels) -> Float[Tensor, "batch pos channels"]:
        tokens = from_panels(panels, self.prompts * self.length)
        return tokens.view(self.prompts, self.length, -1)

    @cached_property
    def bounds(self) -> Int32[Tensor, "start_and_end token"]:
        return token_bounds(self.prompts, self.length)

    def repeat(self, rows: Float[Tensor, "pos channels"]) -> Panels:
        """The same rows for every prompt."""
        return to_panels(rows.detach().repeat(self.prompts, 1))

    def show(self, hook: Hook) -> Hook:
        """``hook`` for panels."""
        if hook is no_hook:
            return no_hook

        def shown(name: str, panels: Tensor) -> Tensor:
            x = self.turn_back(panels)
            version = None if x.is_inference() else x._version
            changed = hook(name, x)
            untouched = changed is x and version is not None and x._version == version
            # What needs a gradient must lie on the way, also where the hook only kept it.
            return panels if untouched and not x.requires_grad else self.turn(changed)

        return shown


def _cut(config: GPTConfig, place: str, dim: int) -> Callable[[Tensor], Tensor]:
    kept = config.kept(place, dim)
    return nn.Identity() if kept is None else partial(abs_top_k_panels, k=kept)


def _activate(name: str, panels: Panels) -> Panels:
    return gelu_panels(panels) if name == "gelu" else nn.functional.relu(panels)


def _dense(linear: nn.Module, panels: Panels) -> Panels:
    """A map whose weights stay dense: one product over all tokens."""
    assert isinstance(linear, nn.Linear), f"{type(linear).__name__} is no linear map"
    side_by_side = panels.transpose(0, 1).flatten(1)  # columns tokens
    out = linear.weight @ side_by_side
    if linear.bias is not None:
        out = out + linear.bias[:, None]
    return out.unflatten(1, (-1, 16)).transpose(0, 1).contiguous()


def _linear(linear: nn.Module, panels: Panels) -> Panels:
    return linear.in_panels(panels) if isinstance(linear, SparseLinear) else _dense(linear, panels)


class PanelAttention(Attention):
    """``Attention`` in panels."""

    def __init__(self, config: GPTConfig, layer: int) -> None:
        super().__init__(config, layer)
        self._panel_cut_in = _cut(config, "attn_in", config.d_read)
        self._panel_cut = {name: _cut(config, f"attn_{name}", config.d_attn) for name in "qkv"}
        self._panel_cut_out = _cut(config, "attn_out", config.d_model)

    def forward(
        self, read: Float[Tensor, "batch pos d_read"], hook: Hook
    ) -> Float[Tensor, "batch pos d_model"]:
        layout = Layout(*read.shape[:2])
        return layout.turn_back(self.in_panels(layout.turn(read), layout, layout.show(hook)))

    def in_panels(self, read: Panels, layout: Layout, hook: Hook) -> Panels:
        at = f"{self.layer}.attn"
        read = hook(f"{at}.act_in", self._panel_cut_in(read))
        parts = dict(zip("qkv", self._parts(read), strict=True))
        k, q, v = (hook(f"{at}.{name}", self._panel_cut[name](parts[name])) for name in "kqv")
        # What no output reads need not be computed, unless somebody looks.
        heads = self.read_heads if hook is no_hook and not q.requires_grad else None
        y = attend_panels(q, k, v, self.sink_logit, layout.bounds, self.config.n_head, heads)
        y = hook(f"{at}.y", y)
        return hook(f"{at}.resid_delta", self._panel_cut_out(_linear(self.c_proj, y)))

    def _parts(self, read: Panels) -> list[Panels]:
        if isinstance(self.c_attn, SparseLinear):
            return self.c_attn.thirds(read)
        return list(_dense(self.c_attn, read).split(self.config.d_attn, dim=1))

    @cached_property
    def read_heads(self) -> Int32[Tensor, " live"] | None:
        """Heads that some weight of ``c_proj`` reads; None where all are."""
        if not isinstance(self.c_proj, SparseLinear):
            return None
        read = torch.zeros(self.config.d_attn, dtype=torch.bool)
        read[self.c_proj.matrix.columns.long()] = True
        heads = read.view(self.config.n_head, -1).any(dim=1).nonzero().flatten()
        return heads.to(torch.int32)


class PanelMLP(MLP):
    """``MLP`` in panels."""

    def __init__(self, config: GPTConfig, layer: int) -> None:
        super().__init__(config, layer)
        self._name = config.activation_type
        self._panel_cut_in = _cut(config, "mlp_in", config.d_read)
        self._panel_cut_neuron = _cut(config, "mlp_neuron", config.d_mlp)
        self._panel_cut_out = _cut(config, "mlp_out", config.d_model)

    def forward(
        self, read: Float[Tensor, "batch pos d_read"], hook: Hook
    ) -> Float[Tensor, "batch pos d_model"]:
        layout = Layout(*read.shape[:2])
        return layout.turn_back(self.in_panels(layout.turn(read), layout.show(hook)))

    def in_panels(self, read: Panels, hook: Hook) -> Panels:
        at = f"{self.layer}.mlp"
        read = hook(f"{at}.act_in", self._panel_cut_in(read))
        neurons = hook(f"{at}.post_act", self._panel_cut_neuron(self._neurons(read)))
        return hook(f"{at}.resid_delta", self._panel_cut_out(_linear(self.c_proj, neurons)))

    def _neurons(self, read: Panels) -> Panels:
        if isinstance(self.c_fc, SparseLinear):
            return self.c_fc.in_panels(read, "gelu" if self._name == "gelu" else "relu")
        return _activate(self._name, _dense(self.c_fc, read))


class PanelBlock(Block):
    """``Block`` in panels. Input and output are those of ``Block``."""

    def __init__(self, config: GPTConfig, layer: int) -> None:
        super().__init__(config, layer)
        self.attn: PanelAttention = PanelAttention(config, layer)
        self.mlp: PanelMLP = PanelMLP(config, layer)
        self._panel_cut_mid = _cut(config, "resid_post_attn", config.d_model)
        self._panel_cut_end = _cut(config, "resid_post_mlp", config.d_model)

    def forward(
        self,
        x: Float[Tensor, "batch pos d_model"],
        positions: Float[Tensor, "pos d_pos_emb"] | None,
        hook: Hook,
    ) -> Float[Tensor, "batch pos d_model"]:
        layout = Layout(*x.shape[:2])
        x, hook = hook(f"{self.layer}.resid_in", x), layout.show(hook)
        panels = layout.turn(x)
        beside = self._beside(positions, layout)
        if hook is no_hook and self._whole is not None and not _wants_gradient(panels):
            run_layer(self._whole, panels, beside, layout.bounds)
            return layout.turn_back(panels)
        read = _norm(self.ln_1, panels, beside[0])
        delta = self.attn.in_panels(read, layout, hook)
        panels = self._panel_cut_mid(self._add(add_panels(panels, delta)))
        panels = hook(f"{self.layer}.resid_mid", panels)
        read = _norm(self.ln_2, panels, beside[1])
        panels = self._panel_cut_end(self._add(add_panels(panels, self.mlp.in_panels(read, hook))))
        return layout.turn_back(panels)

    def _beside(self, positions: Tensor | None, layout: Layout) -> tuple[Panels, Panels]:
        """The concatenated positions, as attention and as the MLP read them."""
        if positions is None:
            nothing = torch.empty(-(-layout.prompts * layout.length // 16), 0, 16)
            return nothing, nothing
        return layout.repeat(self.ln_p1(positions)), layout.repeat(self.ln_p2(positions))

    @cached_property
    def _whole(self) -> Layer | None:
        """What runs the layer in one go; None where a matrix is dense."""
        attn, mlp, config = self.attn, self.mlp, self.attn.config
        maps = (attn.c_attn, attn.c_proj, mlp.c_fc, mlp.c_proj)
        if not all(isinstance(linear, SparseLinear) for linear in maps):
            return None
        into_heads, from_heads, into_neurons, from_neurons = cast(list[SparseLinear], maps)
        q, k, v = (
            as_map(*part, config.kept(f"attn_{name}", config.d_attn))
            for part, name in zip(into_heads.three, "qkv", strict=True)
        )
        relu = config.residual_activation_type == "relu"

        def after(place: str) -> Write:
            return Write(relu, as_kept(config.kept(place, config.d_model), config.d_model))

        return Layer(
            config.d_model,
            config.n_head,
            attn.read_heads,
            attn.sink_logit,
            _read(self.ln_1, config, "attn_in"),
            q,
            k,
            v,
            _map(from_heads, config, "attn_out"),
            after("resid_post_attn"),
            _read(self.ln_2, config, "mlp_in"),
            _map(into_neurons, config, "mlp_neuron"),
            "gelu" if config.activation_type == "gelu" else "relu",
            _map(from_neurons, config, "mlp_out"),
            after("resid_post_mlp"),
        )


def _map(linear: SparseLinear, config: GPTConfig, place: str) -> Map:
    return as_map(linear.matrix, linear.bias, config.kept(place, linear.out_features))


def _read(norm: nn.Module, config: GPTConfig, place: str) -> Read:
    gain, bias, centred, epsilon = _norm_values(norm)
    kept = as_kept(config.kept(place, config.d_read), config.d_read)
    return Read(gain.numpy(), bias.numpy(), centred, np.float32(epsilon), kept)


def _wants_gradient(x: Tensor) -> bool:
    return x.requires_grad and torch.is_grad_enabled()


def _norm_values(norm: nn.Module) -> tuple[Tensor, Tensor, bool, float]:
    """Gain, bias, whether the mean is taken off, epsilon."""
    assert isinstance(norm, nn.RMSNorm | nn.LayerNorm), f"{type(norm).__name__} is no norm"
    gain = norm.weight.detach()
    bias = norm.bias if isinstance(norm, nn.LayerNorm) else None
    bias = torch.zeros_like(gain) if bias is None else bias.detach()
    epsilon = torch.finfo(torch.float32).eps if norm.eps is None else norm.eps
    return gain, bias, isinstance(norm, nn.LayerNorm), epsilon


def _norm(norm: nn.Module, panels: Panels, beside: Panels) -> Panels:
    gain, bias, centred, epsilon = _norm_values(norm)
    return norm_panels(panels, gain, bias, centred=centred, epsilon=epsilon, beside=beside)
