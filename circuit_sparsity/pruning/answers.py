"""What a run answers, and nothing more: the two answers' logits at each prompt's last token."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuit_sparsity.core.hooks import Hook, no_hook
from circuit_sparsity.core.model import GPT, Block
from circuit_sparsity.pruning.subject import Subject
from circuit_sparsity.runtime.gated_model import answer_margins
from circuit_sparsity.tasks.task import TaskBatch


def gate_slope(tau: Float[Tensor, " node"], temperature: float) -> Float[Tensor, " node"]:
    """What stands in for the derivative of the gate ``tau >= 0``: s(1 - s)/T, s = sigmoid(tau/T).

    >>> gate_slope(torch.zeros(1), 0.5)
    tensor([0.5000])
    """
    s = torch.sigmoid(tau / temperature)
    return s * (1 - s) / temperature


class _Fill(torch.autograd.Function):
    """x where the gate is 1 and the mean where it is 0, with a gradient for the gate."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gate: Tensor, mean: Tensor) -> Tensor:
        gate, mean = gate.to(x.dtype), mean.to(x.dtype)
        deviation = x - mean
        ctx.save_for_backward(deviation, gate)
        return torch.addcmul(mean, deviation, gate)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor, None]:
        (grad,) = grads
        deviation, gate = ctx.saved_tensors
        to_gate = (grad * deviation).flatten(0, -2).sum(dim=0, dtype=torch.float32)
        return (grad * gate if ctx.needs_input_grad[0] else None), to_gate, None


def gated(gates: dict[str, Tensor], means: dict[str, Tensor]) -> Hook:
    """A hook that fills each named place by its gate; its gradient reaches the gates."""

    def hook(name: str, x: Tensor) -> Tensor:
        gate = gates.get(name)
        return x if gate is None else _Fill.apply(x, gate, means[name])

    return hook


def filled(kept: dict[str, Tensor], means: dict[str, Tensor]) -> Hook:
    """A hook that keeps x where ``kept`` and puts the mean elsewhere, exactly as circuits run."""

    def hook(name: str, x: Tensor) -> Tensor:
        return torch.where(kept[name], x, means[name]) if name in kept else x

    return hook


PROMPTS_A_RUN = 64  # evaluated together; of like length, so that little padding is computed


def margins(model: GPT, batch: TaskBatch, hook: Hook = no_hook) -> Float[Tensor, " prompt"]:
    """Logit of the right answer less that of the wrong one, for each prompt.

    Only what the answers depend on is computed: the last MLP at the last token alone, two rows of
    the unembedding.
    """
    read = model.transformer.ln_f(_last_residual(model, batch.tokens, batch.last, hook))
    return answer_margins(model, read, batch.tokens, batch)


def _last_residual(
    model: GPT, tokens: Int[Tensor, "prompt pos"], last: Int[Tensor, " prompt"], hook: Hook
) -> Float[Tensor, "prompt d_model"]:
    """``final_resid`` at each prompt's last token, as ``GPT.residual`` computes it."""
    x = model.transformer.wte(tokens)
    positions = model.transformer.wpe.weight[: tokens.shape[1]]
    if not model.config.d_pos_emb:
        x, positions = x + positions, None
    *earlier, end = model.blocks
    for block in earlier:
        x = block(x, positions, hook)
    rows = torch.arange(len(tokens), device=tokens.device)
    return hook("final_resid", _end(end, x, positions, rows, last, hook))[:, 0]


def _end(
    block: Block,
    x: Float[Tensor, "prompt pos d_model"],
    positions: Float[Tensor, "pos d_pos_emb"] | None,
    rows: Int[Tensor, " prompt"],
    last: Int[Tensor, " prompt"],
    hook: Hook,
) -> Float[Tensor, "prompt 1 d_model"]:
    """The last block, its MLP at the last tokens alone."""
    read = block.ln_1(x)
    if positions is not None:
        of_positions = block.ln_p1(positions).expand(len(x), -1, -1)
        read = torch.cat((read, of_positions), dim=-1)
    x = block._cut_mid(block._add(x + block.attn(read, hook)))[rows, last][:, None]
    read = block.ln_2(x)
    if positions is not None:
        read = torch.cat((read, block.ln_p2(positions)[last][:, None]), dim=-1)
    return block._cut_end(block._add(x + block.mlp(read, hook)))


def by_length(
    batch: TaskBatch, size: int = PROMPTS_A_RUN, device: torch.device | str = "cpu"
) -> Iterator[TaskBatch]:
    """``batch`` in parts of ``size`` prompts, from the shortest to the longest, on ``device``.

    No part has a token after its longest prompt. Where they go is decided on the CPU, so that
    nothing waits for another device.
    """
    last = batch.last.cpu()
    for rows in last.argsort(stable=True).split(size):
        length = int(last[rows].max()) + 1
        tokens, last_rows = batch.tokens[rows, :length], batch.last[rows]
        part = TaskBatch(tokens, last_rows, batch.right[rows], batch.wrong[rows])
        yield part if str(device) == "cpu" else _sent(part, device)


def _sent(batch: TaskBatch, device: torch.device | str) -> TaskBatch:
    """The batch on its way to ``device``; to CUDA from pinned memory, so that nobody waits."""
    if batch.tokens.device.type != "cpu" or torch.device(device).type != "cuda":
        return batch.to(device)
    parts = (batch.tokens, batch.last, batch.right, batch.wrong)
    return TaskBatch(*(x.pin_memory().to(device, non_blocking=True) for x in parts))


class Evaluation:
    """Fixed prompts, ready to run under any mask."""

    def __init__(self, subject: Subject, batch: TaskBatch) -> None:
        self.subject = subject
        self._parts = tuple(by_length(batch, device=subject.device))
        self._order = batch.last.argsort(stable=True).to(subject.device)
        self._means = subject.layout.views(subject.mean_vector)

    @torch.no_grad()
    def margins(self, kept: Bool[Tensor, " node"]) -> Float[Tensor, " prompt"]:
        """Each prompt's margin in the order of the batch, everything not ``kept`` at its mean."""
        run = self._run(kept)
        found = torch.cat([run(part) for part in self._parts])
        return torch.empty_like(found).index_copy(0, self._order, found)

    def loss(self, kept: Bool[Tensor, " node"]) -> float:
        """The mean two-way loss in nats per sequence."""
        return float(F.softplus(-self.margins(kept)).mean())

    def _run(self, kept: Bool[Tensor, " node"]) -> Callable[[TaskBatch], Tensor]:
        """What computes margins: of a model in panels, the circuit alone."""
        if self.subject.panels is not None:
            left, gate = self.subject.panels.run(kept), kept.float()
            return lambda part: left.margins(gate, part)
        hook = filled(self.subject.layout.views(kept.to(self.subject.device)), self._means)
        return lambda part: margins(self.subject.model, part, hook)
