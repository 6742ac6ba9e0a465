"""What a node adds to each next token's logit by the shortest way: last norm, then unembedding."""

import torch
from jaxtyping import Float
from torch import Tensor

from circuit_sparsity.circuits.token_weights import matrix
from circuit_sparsity.model import GPT
from circuit_sparsity.names import Node
from circuit_sparsity.nodes.weights import written

IGNORED = (
    "the last norm's division by the size of the residual stream, one number for all tokens of a "
    "position",
    "everything that later blocks do with what is written",
    "activation top-k",
    "biases and the bigram table, which do not depend on the node",
)


@torch.no_grad()
def direct_effect(model: GPT, node: Node) -> Float[Tensor, " vocab"] | None:
    """Logits that one unit of ``node`` adds through the gain of ``ln_f`` and the unembedding.

    The logit lens of what it writes (nostalgebraist 2020), with `IGNORED` left out. None for a
    node that writes nothing to the residual stream.
    """
    direction = written(model, node)
    if direction is None:
        return None
    if not model.config.rms_norm:
        direction = direction - direction.mean()  # LayerNorm centres before its gain
    gain = model.get_parameter("transformer.ln_f.weight").float().cpu()
    return matrix(model, "unembedding").detach().float().cpu() @ (gain * direction)
