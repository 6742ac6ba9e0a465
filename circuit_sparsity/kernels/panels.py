"""Activations in panels: sixteen tokens side by side, one channel after the other.

A panel of 8,192 channels is half a megabyte and stays in a core's own cache while it is normed,
multiplied and thresholded; with all tokens side by side every pass would go to main memory.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from circuit_sparsity.kernels.compiled import kernel
from circuit_sparsity.kernels.threads import run_parts, split
from circuit_sparsity.kernels.vector import transpose

LANES = 16
_LEAST_ENTRIES = 131_072  # per thread


@kernel
def _to_panels(source, target, tokens, channels, begin, end):
    """Panels begin..end; tokens past the last are left as they are, the rest of a tail by hand."""
    for panel in range(begin, end):
        first, to = panel * 16, panel * channels * 16
        whole = channels // 16 * 16 if first + 16 <= tokens else 0
        for channel in range(0, whole, 16):
            transpose(source, first * channels + channel, channels, target, to + channel * 16, 16)
        for channel in range(whole, channels):
            for token in range(first, min(first + 16, tokens)):
                target[to + channel * 16 + token - first] = source[token * channels + channel]


@kernel
def _from_panels(source, target, tokens, channels, begin, end):
    for panel in range(begin, end):
        first, at = panel * 16, panel * channels * 16
        whole = channels // 16 * 16 if first + 16 <= tokens else 0
        for channel in range(0, whole, 16):
            transpose(source, at + channel * 16, 16, target, first * channels + channel, channels)
        for channel in range(whole, channels):
            for token in range(first, min(first + 16, tokens)):
                target[token * channels + channel] = source[at + channel * 16 + token - first]


def _turned(x: Tensor) -> Tensor:
    tokens, channels = x.shape
    source = x.detach().to(torch.float32).contiguous().view(-1).numpy()
    out = torch.empty(-(-tokens // LANES), channels, LANES)
    if tokens % LANES:
        out[-1, :, tokens % LANES :] = 0
    target = out.view(-1).numpy()

    def work(begin: int, end: int) -> None:
        _to_panels(source, target, tokens, channels, begin, end)

    run_parts(work, split(len(out), _LEAST_ENTRIES // (channels * LANES + 1)))
    return out


def _turned_back(panels: Tensor, tokens: int) -> Tensor:
    channels = panels.shape[1]
    out = torch.empty(tokens, channels)
    source, target = panels.detach().contiguous().view(-1).numpy(), out.view(-1).numpy()

    def work(begin: int, end: int) -> None:
        _from_panels(source, target, tokens, channels, begin, end)

    used = -(-tokens // LANES)
    run_parts(work, split(used, _LEAST_ENTRIES // (channels * LANES + 1)))
    return out


class _ToPanels(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.tokens = len(x)
        return _turned(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return _turned_back(grads[0], ctx.tokens)


class _FromPanels(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, panels: Tensor, tokens: int) -> Tensor:
        ctx.panels = len(panels)
        return _turned_back(panels, tokens)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        turned = _turned(grads[0])
        spare = ctx.panels - len(turned)
        return (turned if not spare else functional.pad(turned, (0, 0, 0, 0, 0, spare))), None


def to_panels(x: Float[Tensor, "tokens channels"]) -> Float[Tensor, "panels channels 16"]:
    """Tokens-first activations in panels; the lanes past the last token are zero.

    >>> to_panels(torch.ones(3, 2)).sum(dim=2)
    tensor([[3., 3.]])
    """
    return _ToPanels.apply(x)  # pyright: ignore[reportReturnType]


def from_panels(
    panels: Float[Tensor, "panels channels 16"], tokens: int
) -> Float[Tensor, "tokens channels"]:
    """The inverse: the first ``tokens`` tokens, tokens-first."""
    if not 0 <= tokens <= len(panels) * LANES:
        raise ValueError(
            f"from_panels: {tokens} tokens asked of {len(panels)} panels, which hold 0 to "
            f"{len(panels) * LANES}"
        )
    return _FromPanels.apply(panels, tokens)  # pyright: ignore[reportReturnType]
