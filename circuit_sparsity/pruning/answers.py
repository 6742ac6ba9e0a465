"""What a run answers, and nothing more: the two answers' logits at each prompt's last token."""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuit_sparsity.hooks import Hook, no_hook
from circuit_sparsity.model import GPT, Block
from circuit_sparsity.pruning.gates import filled
from circuit_sparsity.pruning.panels import answer_margins
from circuit_sparsity.pruning.subject import Subject
from circuit_sparsity.tasks.task import TaskBatch

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
        beside = block.ln_p1(positions).expand(len(x), -1, -1)
        read = torch.cat((read, beside), dim=-1)
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
    """The batch on its way to ``device``; from pinned memory, so that nobody waits."""
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
