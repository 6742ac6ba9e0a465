"""Compile what compiled circuits run before somebody waits for it."""

import torch

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.circuits.compiled.compiled import compile_circuit
from circuit_sparsity.circuits.means import zeros
from circuit_sparsity.model import GPT, GPTConfig
from circuit_sparsity.names import circuit_locations


def warm_up() -> None:
    """Run a small circuit once. Half a minute in a fresh installation, then next to nothing."""
    config = GPTConfig(
        block_size=4, vocab_size=4, n_layer=1, n_head=1, d_head=2, d_model=4, d_mlp=4,
        afrac=0.5, afrac_loctypes="attn_in,mlp_neuron", sink=True,
    )  # fmt: skip
    model = GPT(config).requires_grad_(False).eval()
    nodes = {place: tuple(range(config.width(place))) for place in circuit_locations(1)}
    circuit = Circuit(nodes, "warm", "up", "", "")
    run = compile_circuit(circuit, model, zeros(config)).on(_Two())
    run.margins_without([[circuit.node_list[0]]])


class _Two:
    """Two prompts of two tokens."""

    tokens = torch.tensor([[0, 1], [0, 2]])
    last = torch.tensor([1, 1])
    right = torch.tensor([0, 1])
    wrong = torch.tensor([1, 0])
