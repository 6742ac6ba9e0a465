"""Models whose circuits can be worked out on paper, with the losses that the paper gives.

Norms divide by the root-mean-square, so what a lone channel reads is the same at any size:
a vector with one nonzero entry of d has that entry read as sqrt(d), in sign.
"""

import math
from dataclasses import dataclass

import torch

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.circuits.means import Means, zeros
from circuit_sparsity.core.model import GPT, GPTConfig
from circuit_sparsity.core.names import Location, Node, circuit_locations
from circuit_sparsity.tasks.task import TaskBatch

LN2 = math.log(2)


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


MARGIN_OF_4 = softplus(-4)  # 0.01815 nats: the loss of a prompt whose margin is 4


@dataclass(frozen=True)
class HandMade:
    """A model, its reference means, prompts, and the circuit that answers them."""

    model: GPT
    means: Means
    batch: TaskBatch
    nodes: tuple[str, ...]  # the circuit

    @property
    def circuit(self) -> Circuit:
        return circuit_of(self.model.config, self.nodes)


def circuit_of(config: GPTConfig, nodes: tuple[str, ...]) -> Circuit:
    by_place: dict[Location, tuple[int, ...]] = dict.fromkeys(circuit_locations(config.n_layer), ())
    for node in map(Node.parse, nodes):
        by_place[node.location] += (node.channel,)
    return Circuit(by_place, "handmade", "hand", "sweep", str(len(nodes)))


def blank(**options: object) -> GPT:
    """A model of one layer and one head of one channel, every weight zero and norms one."""
    config = GPTConfig(
        **{
            "block_size": 8,
            "vocab_size": 8,
            "n_layer": 1,
            "n_head": 1,
            "d_head": 1,
            "d_model": 2,
            "d_mlp": 1,
            "activation_type": "relu",
            "rms_norm": True,
            "tied_unembed": False,
            **options,
        }
    )
    model = GPT(config).requires_grad_(False)
    for name, parameter in model.named_parameters():
        parameter.fill_(1.0 if "ln_" in name and name.endswith("weight") else 0.0)
    return model


def put(model: GPT, name: str, *entries: tuple[int, ...] | tuple[int, int, float]) -> None:
    """Set entries (row, column, value) or (row, value) of a parameter."""
    parameter = model.get_parameter(name)
    for *index, value in entries:
        parameter[tuple(index)] = value


def sign_model() -> HandMade:
    """One neuron turns the last token's sign into the answer. 16 nodes, 4 of them the circuit.

    Channel 0 carries the sign: +1 for token 1, -1 for token 2, read as ±sqrt(2). Neuron 0 is 1 for
    token 1 and 0 for token 2, and writes 6·neuron - 3 = ±3 to channel 1, where tokens 4 and 5 are
    read with ±sqrt(2): channel 1 alone reads ±sqrt(2), a margin of 2·sqrt(2)·sqrt(2) = 4.

    Beside the circuit, neuron 1 reads an empty channel and neuron 2 writes a half to channel 0
    for token 2, which nobody reads but the last norm.
    """
    model = blank(d_mlp=3)
    put(model, "transformer.wte.weight", (1, 0, 1.0), (2, 0, -1.0))
    half = math.sqrt(0.5)
    put(model, "transformer.h.0.mlp.c_fc.weight", (0, 0, half), (1, 1, 0.5), (2, 0, -half))
    put(model, "transformer.h.0.mlp.c_proj.weight", (1, 0, 6.0), (0, 1, 1.0), (0, 2, 0.5))
    put(model, "transformer.h.0.mlp.c_proj.bias", (1, -3.0))
    put(model, "lm_head.weight", (4, 1, math.sqrt(2)), (5, 1, -math.sqrt(2)))
    means = dict(zeros(model.config).values)
    means[Location.parse("0.mlp.post_act")] = torch.tensor([0.5, 0.0, 0.0])
    batch = TaskBatch(
        tokens=torch.tensor([[1, 0, 0], [3, 3, 1], [2, 0, 0], [3, 3, 2]]),
        last=torch.tensor([0, 2, 0, 2]),
        right=torch.tensor([4, 4, 5, 5]),
        wrong=torch.tensor([5, 5, 4, 4]),
    )
    nodes = ("0.mlp.act_in:0", "0.mlp.post_act:0", "0.mlp.resid_delta:1", "final_resid:1")
    return HandMade(model, Means(means), batch, nodes)


def marked_model(sink: bool = False) -> HandMade:
    """One head reads the sign of the marked token among two. 24 nodes, 6 of them the circuit.

    A token's channel 0 is its sign, channel 2 its mark, ±1 each and read as ±sqrt(2); the last
    token, 5, has only channel 3. The query is the constant 1, so the score of a token is its key:
    +10 for the marked one, -10 for the other, 0 for the last. The value is the sign, ±1, and is
    written three times as large to channel 1, which alone reads ±2; tokens 6 and 7 read it with
    ±1: a margin of 4.

    With its key at the mean, 0, the head averages the three tokens: a margin of 4 where the two
    signs agree, and 0 where they cancel.
    """
    model = blank(d_model=4, sink=sink)
    signs = ((1, 1.0, 1.0), (2, -1.0, 1.0), (3, 1.0, -1.0), (4, -1.0, -1.0))
    for token, sign, mark in signs:
        put(model, "transformer.wte.weight", (token, 0, sign), (token, 2, mark))
    put(model, "transformer.wte.weight", (5, 3, math.sqrt(2)))
    # Rows of c_attn: q, k, v.
    put(model, "transformer.h.0.attn.c_attn.bias", (0, 1.0))
    put(
        model,
        "transformer.h.0.attn.c_attn.weight",
        (1, 2, 10 / math.sqrt(2)),
        (2, 0, math.sqrt(0.5)),
    )
    put(model, "transformer.h.0.attn.c_proj.weight", (1, 0, 3.0))
    put(model, "lm_head.weight", (6, 1, 1.0), (7, 1, -1.0))
    if sink:
        put(model, "transformer.h.0.attn.attn_imp.sink_logit", (0, -30.0))
    means = dict(zeros(model.config).values)
    means[Location.parse("0.attn.q")] = torch.tensor([1.0])
    batch = TaskBatch(
        tokens=torch.tensor([[1, 3, 5], [4, 1, 5], [2, 3, 5], [4, 2, 5]]),
        last=torch.full((4,), 2),
        right=torch.tensor([6, 6, 7, 7]),
        wrong=torch.tensor([7, 7, 6, 6]),
    )
    nodes = (
        "0.attn.act_in:0",
        "0.attn.act_in:2",
        "0.attn.k:0",
        "0.attn.v:0",
        "0.attn.resid_delta:1",
        "final_resid:1",
    )
    return HandMade(model, Means(means), batch, nodes)
