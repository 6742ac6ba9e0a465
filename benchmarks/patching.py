"""The patching map against one hooked forward a cell: python benchmarks/patching.py [ROUNDS]"""

import sys
from functools import partial

import torch
from table import Row, print_rows, timed

from circuit_sparsity import Store, open_circuit, patching_map
from circuit_sparsity.core.hooks import Hook, chain
from circuit_sparsity.core.names import Node
from circuit_sparsity.experiment.experiment import Experiment
from circuit_sparsity.experiment.opening import open_model
from circuit_sparsity.runtime.ablation import answer_logits, mean_fill

CIRCUITS = (  # with the number of tokens that a prompt should be near
    ("starter", "single_double_quote", "prune", "k44_seed0", 40),
    ("main", "bracket_counting", "full", "k181_seed0_full", 64),
)


def row(model: str, task: str, sweep: str, k: str, near: int, rounds: int) -> Row:
    """One map, every cell computed or known to change nothing; the baseline is a pass a cell."""
    experiment = open_circuit(model, task, sweep, k)
    prompt = int((experiment.batch.last + 1 - near).abs().argmin())
    length = int(experiment.batch.last[prompt]) + 1
    cells = experiment.circuit.size * length
    hooked = partial(_hooked, experiment, model, prompt, length)
    found = timed("", partial(patching_map, experiment, prompt), hooked(), rounds, 1)
    what = f"{model}, {experiment.circuit.size} nodes x {length} tokens"
    note = f"{found.note}; baseline: a hooked dense forward, times {cells} cells"
    return Row(what, found.ours, found.baseline * cells, "ms", 100, note)


def _hooked(experiment: Experiment, model: str, prompt: int, length: int):
    dense = open_model(Store.from_environment(), model, engine="dense")
    batch, node = experiment.batch, experiment.circuit.node_list[0]
    tokens, last = batch.tokens[prompt : prompt + 1, :length], batch.last[prompt : prompt + 1]
    fill = mean_fill(experiment.alive, experiment.means)
    return lambda: answer_logits(dense, tokens, last, chain(fill, _patch(node, length // 2)))


def _patch(node: Node, position: int) -> Hook:
    def hook(name: str, x: torch.Tensor) -> torch.Tensor:
        if name == str(node.location):
            x = x.clone()
            x[:, position, node.channel] = 1.0
        return x

    return hook


if __name__ == "__main__":
    many = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    torch.manual_seed(0)
    with torch.no_grad():
        print_rows([row(*one, rounds=many) for one in CIRCUITS])
