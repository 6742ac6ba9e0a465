"""A model's margins under gates, computed in panels, without the nodes that are out for good.

A node that is held at its mean is a constant: what it adds to the next map is part of that map's
bias, so its column goes, and its row too where no activation top-k compares it with others. A head
all of whose channels are out gives what depends on the position alone, which is tabulated once.
What is left is the masked model, term by term.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuit_sparsity.circuits.node_vector import Layout
from circuit_sparsity.core.model import GPT
from circuit_sparsity.core.names import FINAL_RESID
from circuit_sparsity.core.sparse_modules import SparseLinear
from circuit_sparsity.kernels.gates import GateOp, fill
from circuit_sparsity.runtime.gated_block import BlockRun, Gate, Maps
from circuit_sparsity.runtime.panel_block import Layout as Lanes
from circuit_sparsity.runtime.panel_block import PanelBlock
from circuit_sparsity.tasks.task import TaskBatch


def fits(model: GPT) -> bool:
    """Whether a model computes in panels: its matrices are sparse enough, on a CPU."""
    return all(isinstance(block, PanelBlock) for block in model.blocks)


class PanelModel:
    """A model's maps, ready to be cut down to any set of nodes."""

    def __init__(self, model: GPT, means: Float[Tensor, " node"]) -> None:
        self.model, self.layout = model, Layout(model.config)
        self.means = self.layout.split(means.float().cpu())
        self.maps = [Maps(model, layer) for layer in range(model.config.n_layer)]

    def run(self, alive: Bool[Tensor, " node"] | None = None) -> "PanelRun":
        """The model with all nodes that are not ``alive`` held at their means for good."""
        everything = torch.ones(self.layout.size, dtype=torch.bool)
        return PanelRun(self, everything if alive is None else alive.cpu())


class PanelRun:
    """What is left of a model. Made by ``PanelModel.run``."""

    def __init__(self, whole: PanelModel, alive: Bool[Tensor, " node"]) -> None:
        self._model, self._layout, self._means = whole.model, whole.layout, whole.means
        self.alive = alive
        masks = self._layout.split(alive)
        self._blocks = [
            BlockRun(whole.model.blocks[layer], maps, masks, whole.means)
            for layer, maps in enumerate(whole.maps)
        ]

    def margins(
        self, gate: Float[Tensor, " node"], batch: TaskBatch, op: GateOp = fill
    ) -> Float[Tensor, " prompt"]:
        """Logit of the right answer less that of the wrong one, for each prompt.

        ``gate`` is over all nodes of the model; nodes that are not alive must have 0 there, and
        get no gradient. ``op`` is what a gate does.
        """
        model, tokens = self._model, batch.tokens
        lanes, gates = Lanes(*tokens.shape), Gate(self._layout.split(gate), self._means, op)
        x = model.transformer.wte(tokens)
        positions = model.transformer.wpe.weight[: tokens.shape[1]]
        if not model.config.d_pos_emb:
            x, positions = x + positions, None
        panels = lanes.turn(x)
        *earlier, end = self._blocks
        for block in earlier:
            panels = block(panels, positions, lanes, gates)
        last = end.at_last(panels, positions, lanes, gates, batch.last)
        held = gates(FINAL_RESID, Lanes(len(tokens), 1).turn(last))
        read = model.transformer.ln_f(Lanes(len(tokens), 1).turn_back(held)[:, 0])
        return answer_margins(model, read, tokens, batch)


def answer_margins(
    model: GPT,
    read: Float[Tensor, "prompt d_model"],
    tokens: Int[Tensor, "prompt pos"],
    batch: TaskBatch,
) -> Float[Tensor, " prompt"]:
    """The margins that the last norm's output gives: two rows of the unembedding."""
    rows = unembedding(model, batch.right) - unembedding(model, batch.wrong)
    bias = model.final_logits_bias
    margin = (rows * read).sum(dim=-1) + bias[batch.right] - bias[batch.wrong]
    if model.config.enable_bigram_table:
        at, table = tokens.gather(1, batch.last[:, None])[:, 0], model.bigram_table
        margin = margin + table[at, batch.right] - table[at, batch.wrong]
    return margin


def unembedding(model: GPT, index: Int[Tensor, " prompt"]) -> Float[Tensor, "prompt d_model"]:
    """Rows of the unembedding; of a compressed one, those alone are made."""
    if isinstance(model.lm_head, SparseLinear):
        return model.lm_head.matrix.take_rows(index)
    return model.lm_head.weight[index]
