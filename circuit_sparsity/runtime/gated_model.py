"""A model's margins under gates, computed in panels, without the nodes that are out for good.

The layers are those of inference (``panel_block``), with a gate at every location; what is left of
a model after nodes have gone is the masked model, term by term.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuit_sparsity.circuits.node_vector import Layout
from circuit_sparsity.core.model import GPT
from circuit_sparsity.core.names import FINAL_RESID
from circuit_sparsity.core.sparse_modules import SparseLinear
from circuit_sparsity.kernels.gates import GateOp, fill
from circuit_sparsity.runtime.panel_block import PanelBlock, PanelLayer, Remaining
from circuit_sparsity.runtime.panels import Channels, Panels, TokenLayout
from circuit_sparsity.tasks.task import TaskBatch


def fits(model: GPT) -> bool:
    """Whether a model computes in panels: its matrices are sparse enough, on a CPU."""
    return all(isinstance(block, PanelBlock) for block in model.blocks)


@dataclass(frozen=True, eq=False)
class Gates:
    """A ``PanelHook`` that puts a gate before each channel of each location of a pass."""

    values: dict[str, Float[Tensor, " width"]]  # by name of the location
    means: dict[str, Float[Tensor, " width"]]
    op: GateOp

    def __call__(self, name: str, x: Panels, channels: Channels | None) -> Panels:
        """``x`` under the gates of its channels; as it is where no nodes are."""
        if name not in self.values:
            return x
        gate, mean = self.values[name], self.means[name]
        if channels is not None:
            gate, mean = gate[channels], mean[channels]
        return self.op(x, gate, mean)


class GatedModel:
    """A model in panels, ready to be cut down to any set of nodes.

    ``model`` must be one that ``fits``; ``means`` is what a node that is out is held at.
    """

    def __init__(self, model: GPT, means: Float[Tensor, " node"]) -> None:
        self.model, self.layout, self.means = model, Layout(model.config), means.float().cpu()
        self.blocks = [block for block in model.blocks if isinstance(block, PanelBlock)]

    def run(self, alive: Bool[Tensor, " node"] | None = None) -> "GatedRun":
        """The model with all nodes that are not ``alive`` held at their means for good."""
        everything = torch.ones(self.layout.size, dtype=torch.bool)
        return GatedRun(self, everything if alive is None else alive.cpu())


class GatedRun:
    """What is left of a model. Made by ``GatedModel.run``."""

    def __init__(self, whole: GatedModel, alive: Bool[Tensor, " node"]) -> None:
        self.alive = alive
        self._model, self._layout = whole.model, whole.layout
        self._means = self._layout.views(whole.means)
        remaining = Remaining(self._layout.split(alive), self._layout.split(whole.means))
        self._layers = [PanelLayer(block, block.maps, remaining) for block in whole.blocks]

    def margins(
        self, gate: Float[Tensor, " node"], batch: TaskBatch, op: GateOp = fill
    ) -> Float[Tensor, " prompt"]:
        """Logit of the right answer less that of the wrong one, for each prompt.

        ``gate`` is over all nodes of the model; nodes that are not alive must have 0 there, and
        get no gradient. ``op`` is what a gate does.
        """
        model, ids = self._model, batch.tokens
        tokens, gates = TokenLayout(*ids.shape), Gates(self._layout.views(gate), self._means, op)
        x = model.transformer.wte(ids)
        positions = model.transformer.wpe.weight[: ids.shape[1]]
        if not model.config.d_pos_emb:
            x, positions = x + positions, None
        panels = tokens.turn(x)
        *earlier, end = self._layers
        for layer in earlier:
            panels = layer(panels, positions, tokens, gates)
        panels = end(panels, positions, tokens, gates, batch.last)
        panels = gates(str(FINAL_RESID), panels, None)
        read = model.transformer.ln_f(TokenLayout(len(ids), 1).turn_back(panels)[:, 0])
        return answer_margins(model, read, ids, batch)


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
