"""What a run answers, and nothing more: the two answers' logits at each prompt's last token."""

from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuit_sparsity.hooks import Hook, no_hook
from circuit_sparsity.model import GPT, Block
from circuit_sparsity.pruning.gates import filled
from circuit_sparsity.pruning.subject import Subject
from circuit_sparsity.tasks.task import TaskBatch

PROMPTS_A_RUN = 64  # evaluated together; of like length, so that little padding is computed


def margins(model: GPT, batch: TaskBatch, hook: Hook = no_hook) -> Float[Tensor, " prompt"]:
    """Logit of the right answer less that of the wrong one, for each prompt.

    Only what the answers depend on is computed: no token after the longest prompt, the last MLP
    at the last token alone, two rows of the unembedding.
    """
    tokens = batch.tokens[:, : int(batch.last.max()) + 1]
    read = model.transformer.ln_f(_last_residual(model, tokens, batch.last, hook))
    rows, bias = model.lm_head.weight, model.final_logits_bias
    margin = ((rows[batch.right] - rows[batch.wrong]) * read).sum(dim=-1)
    margin = margin + bias[batch.right] - bias[batch.wrong]
    if model.config.enable_bigram_table:
        at, table = tokens.gather(1, batch.last[:, None])[:, 0], model.bigram_table
        margin = margin + table[at, batch.right] - table[at, batch.wrong]
    return margin


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


def by_length(batch: TaskBatch, size: int = PROMPTS_A_RUN) -> Iterator[TaskBatch]:
    """``batch`` in parts of ``size`` prompts, from the shortest prompts to the longest."""
    for rows in batch.last.argsort(stable=True).split(size):
        yield TaskBatch(batch.tokens[rows], batch.last[rows], batch.right[rows], batch.wrong[rows])


class Evaluation:
    """Fixed prompts, ready to run under any mask."""

    def __init__(self, subject: Subject, batch: TaskBatch) -> None:
        self.subject = subject
        batch = batch.to(subject.device)
        self._parts = tuple(by_length(batch))
        self._order = batch.last.argsort(stable=True)
        self._means = subject.layout.views(subject.mean_vector)

    @torch.no_grad()
    def margins(self, kept: Bool[Tensor, " node"]) -> Float[Tensor, " prompt"]:
        """Each prompt's margin in the order of the batch, everything not ``kept`` at its mean."""
        views = self.subject.layout.views(kept.to(self.subject.device))
        hook = filled(views, self._means)
        found = torch.cat([margins(self.subject.model, part, hook) for part in self._parts])
        return torch.empty_like(found).index_copy(0, self._order, found)
