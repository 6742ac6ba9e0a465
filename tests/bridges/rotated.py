"""A sparse model and a dense one that is the same model in rotated, wider coordinates.

RMSNorm commutes with rotations where its gains are ones. In a wider stream the root-mean-square
is smaller by sqrt(d_sparse/d_dense), so what is read is larger by its inverse: the reading weights
of the dense model make up for that. So the exact encoder is R^T, the exact decoder R.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from circuit_sparsity.bridges.bridge import Bridges, Pairing, set_bridge
from circuit_sparsity.bridges.pair import Pair
from circuit_sparsity.core.model import GPT, GPTConfig
from circuit_sparsity.core.tokenizer import load_tokenizer
from circuit_sparsity.tasks.task import TaskBatch

D_SPARSE, D_DENSE = 12, 16
TOKENIZER = Path(__file__).parents[2] / "cache" / "models" / "main"  # any will do


@dataclass(frozen=True, eq=False)
class Rotated:
    sparse: GPT
    dense: GPT
    rotation: Float[Tensor, "d_dense d_sparse"]  # orthonormal columns

    @property
    def bridges(self) -> Bridges:
        """The exact ones."""
        pairing = Pairing.of(self.sparse.config, self.dense.config)
        made = Bridges(pairing, D_SPARSE, D_DENSE, D_SPARSE)
        for bridge in made:
            set_bridge(
                bridge,
                (self.rotation.T, torch.zeros(D_SPARSE)),
                (self.rotation, torch.zeros(D_DENSE)),
            )
        return made.requires_grad_(False)

    def pair(self) -> Pair:
        return Pair(self.sparse, self.dense, self.bridges, load_tokenizer(TOKENIZER))


def config(d_model: int, **changes) -> GPTConfig:
    values = {
        "block_size": 16,
        "vocab_size": 24,
        "n_layer": 2,
        "n_head": 2,
        "d_head": 4,
        "d_model": d_model,
        "d_mlp": 20,
        "afrac": 0.5,
        "afrac_loctypes": "mlp_neuron",  # neurons are the same in both models, so it may be there
        "d_pos_emb": 4,
        "sinusoidal_cat_pos_emb": True,
        "sink": True,
        "enable_bigram_table": True,
        "learnable_bigram_table": True,
    }
    return GPTConfig(**(values | changes))


def rotated_pair(seed: int = 0, gains: bool = False) -> Rotated:
    """With ``gains`` the sparse norms have some; the dense reading weights hold them instead."""
    sparse, dense = GPT(config(D_SPARSE)), GPT(config(D_DENSE))
    generator = torch.Generator().manual_seed(seed)
    sparse.initialise(seed)
    with torch.no_grad():
        for name, parameter in sparse.named_parameters():
            if ".ln_" in name and gains:
                parameter.copy_(torch.rand(parameter.shape, generator=generator) + 0.5)
            elif ".ln_" not in name and "wpe" not in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.4)
    rotation = torch.linalg.qr(torch.randn(D_DENSE, D_SPARSE, generator=generator)).Q
    dense.load_state_dict(_rotate(sparse.state_dict(), rotation))
    return Rotated(sparse.requires_grad_(False), dense.requires_grad_(False), rotation)


def _rotate(state: dict[str, Tensor], rotation: Tensor) -> dict[str, Tensor]:
    smaller = math.sqrt(D_SPARSE / D_DENSE)
    out = {}
    for name, x in state.items():
        if name == "transformer.wte.weight":
            x = x @ rotation.T
        elif name == "lm_head.weight":
            x = x * state["transformer.ln_f.weight"] @ rotation.T * smaller
        elif name.endswith(("c_attn.weight", "c_fc.weight")):
            norm = name.replace("attn.c_attn", "ln_1").replace("mlp.c_fc", "ln_2")
            stream = x[:, :D_SPARSE] * state[norm] @ rotation.T * smaller
            x = torch.cat((stream, x[:, D_SPARSE:]), dim=1)  # positions are as they were
        elif name.endswith(("c_proj.weight", "c_proj.bias")):
            x = rotation @ x
        elif name.endswith(("ln_1.weight", "ln_2.weight", "ln_f.weight")):
            x = torch.ones(D_DENSE)
        out[name] = x
    return out


def some_tokens(rows: int = 40, pos: int = 12, seed: int = 1) -> Tensor:
    return torch.randint(24, (rows, pos), generator=torch.Generator().manual_seed(seed))


def some_noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def some_prompts(pairs: int = 6, pos: int = 9, seed: int = 2) -> TaskBatch:
    """Random prompts; what is right for one of a pair is wrong for the other."""
    tokens = some_tokens(2 * pairs, pos, seed)
    right = torch.tensor([3] * pairs + [7] * pairs)
    last = torch.full((2 * pairs,), pos - 1)
    return TaskBatch(tokens, last, right, 10 - right)
