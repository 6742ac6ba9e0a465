"""What one attention head does on one text: where it looks, and what each channel adds to that."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from circuit_sparsity.core.attention import attention_pattern
from circuit_sparsity.core.hooks import Hook, Recorder, chain, no_hook
from circuit_sparsity.core.model import GPT
from circuit_sparsity.runtime.prefix_cache import block_of


@dataclass(frozen=True, eq=False)
class Head:
    """One head in one run. Rows are queries; what a query cannot see is NaN."""

    q: Float[Tensor, "pos d_head"]
    k: Float[Tensor, "pos d_head"]
    v: Float[Tensor, "pos d_head"]
    pattern: Float[Tensor, "pos pos"]  # weights on tokens
    sink: Float[Tensor, " pos"] | None  # weight on the sink, where the model has one

    def score_of(self, channel: int) -> Float[Tensor, "pos pos"]:
        """What one channel adds to the scores before the softmax: q_c · k_c / sqrt(d_head)."""
        q, k = self.q[:, channel], self.k[:, channel]
        return _visible(q[:, None] * k[None, :] / math.sqrt(self.q.shape[1]))

    def value_of(self, channel: int) -> Float[Tensor, "pos pos"]:
        """What each token brings to one channel of the output: its weight times its value."""
        return self.pattern * self.v[None, :, channel]


@torch.no_grad()
def run_head(
    model: GPT, tokens: Sequence[int], layer: int, head: int, hook: Hook = no_hook
) -> Head:
    """Run ``model`` on ``tokens`` and look at one head, as it is after ``hook``."""
    recorder = Recorder(rf"{layer}\.attn\.[qkv]$")
    model.residual(torch.tensor([list(tokens)]), chain(hook, recorder))
    d = model.config.d_head
    q, k, v = (
        recorder.tensors[f"{layer}.attn.{name}"][0, :, head * d : (head + 1) * d] for name in "qkv"
    )
    logits = block_of(model, layer).attn.sink_logit
    logit = None if logits is None else logits[head : head + 1]
    pattern = attention_pattern(q[None, None], k[None, None], logit)[0, 0]
    sink = None if logit is None else pattern[:, 0]
    return Head(q, k, v, _visible(pattern[:, -len(q) :]), sink)


def _visible(x: Float[Tensor, "pos pos"]) -> Float[Tensor, "pos pos"]:
    hidden = torch.ones_like(x, dtype=torch.bool).triu(1)
    return x.masked_fill(hidden, math.nan)
