"""Models of every configuration, and random circuits, prompts and ablations of them."""

import random
from pathlib import Path

import torch

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.circuits.edges import edges
from circuit_sparsity.circuits.means import Means, mean_activations
from circuit_sparsity.core.checkpoint import load_state, parse_config
from circuit_sparsity.core.model import GPT, GPTConfig
from circuit_sparsity.core.names import Node, circuit_locations
from circuit_sparsity.kernels import abs_top_k
from circuit_sparsity.runtime.ablation import answer_logits
from circuit_sparsity.tasks.task import TaskBatch, answer_margin

GOLDEN = sorted((Path(__file__).parent.parent / "data" / "golden").glob("parity_*.pt"))
EVERY_TOP_K = "attn_in,attn_q,attn_k,attn_v,attn_out,mlp_in,mlp_neuron,mlp_out"


class Ties:
    """Stands in for ``abs_top_k`` and marks prompts whose top-k a rounding could decide.

    Both of two channels of nearly the same size are right, and the next norm sees the difference.
    """

    def __init__(self) -> None:
        self.near: torch.Tensor | None = None  # prompt

    def forget(self) -> None:
        self.near = None

    def __call__(self, x: torch.Tensor, k: int) -> torch.Tensor:
        if 0 < k < x.shape[-1]:
            ordered = x.abs().sort(-1, descending=True).values  # prompt pos width
            last, after, most = ordered[..., k - 1], ordered[..., k], ordered[..., 0]
            self.mark(((last > 0) & (last - after < 3e-6 * most)).any(dim=1))
        return abs_top_k(x, k)

    def mark(self, near: torch.Tensor) -> None:
        """Take these prompts, one truth value each, beside those that are marked."""
        seen = self.near is not None and len(self.near) == len(near)
        self.near = self.near | near if seen else near

    def before_norm(self, norm: torch.nn.Module, args: tuple[torch.Tensor]) -> None:
        """A hook of a norm: marks prompts with a vector of next to nothing, whose rounding a norm
        makes thousands of times larger."""
        (x,) = args  # prompt pos width, or prompt width
        if not isinstance(norm, torch.nn.RMSNorm):
            x = x - x.mean(-1, keepdim=True)
        small = x.square().mean(-1) < 1e-6
        self.mark(small.any(dim=1) if small.dim() > 1 else small)


def golden_model(path: Path) -> GPT:
    golden = torch.load(path, weights_only=True)
    model = GPT(parse_config(golden["config"], path.name)).eval()
    load_state(model, golden["state_dict"], path.name)
    return model.requires_grad_(False)


def random_model(seed: int = 0, density: float = 0.3, **options: object) -> GPT:
    """A model whose weights are sparse and large enough for every part to matter."""
    shape = {
        "block_size": 16,
        "vocab_size": 24,
        "n_layer": 2,
        "n_head": 4,
        "d_head": 4,
        "d_model": 24,
        "d_mlp": 40,
        "rms_norm": True,
        "tied_unembed": False,
    }
    model = GPT(GPTConfig(**{**shape, **options})).requires_grad_(False).eval()
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        draw = torch.randn(parameter.shape, generator=generator)
        if parameter.dim() == 2:
            kept = torch.rand(parameter.shape, generator=generator) < density
            parameter.copy_(draw * kept)
        else:
            parameter.copy_(0.5 * draw + (1.0 if "ln_" in name and "weight" in name else 0.0))
    return model


def random_means(model: GPT, seed: int = 0) -> Means:
    generator = torch.Generator().manual_seed(seed)
    shape = (8, model.config.block_size)
    tokens = torch.randint(model.config.vocab_size, shape, generator=generator)
    return mean_activations(model, [tokens])


def random_prompts(model: GPT, n: int = 6, seed: int = 0, longest: int = 12) -> TaskBatch:
    """Prompts of all lengths, of which some begin alike."""
    draw = random.Random(seed)
    vocab = model.config.vocab_size
    rows = [[draw.randrange(vocab) for _ in range(draw.randint(1, longest))] for _ in range(n)]
    for i in range(1, n, 2):
        shared = draw.randint(0, min(len(rows[i]), len(rows[i - 1])))
        rows[i][:shared] = rows[i - 1][:shared]
    tokens = torch.zeros(n, max(map(len, rows)), dtype=torch.long)
    for row, prompt in zip(tokens, rows, strict=True):
        row[: len(prompt)] = torch.tensor(prompt)
    answers = [draw.sample(range(vocab), 2) for _ in range(n)]
    right, wrong = torch.tensor(answers).T
    last = torch.tensor([len(row) - 1 for row in rows])
    return TaskBatch(tokens, last, right.contiguous(), wrong.contiguous())


def random_circuit(model: GPT, share: float, seed: int = 0) -> Circuit:
    """Each node is kept with chance ``share``, channels in no order."""
    draw = random.Random(seed)
    nodes = {}
    for location in circuit_locations(model.config.n_layer):
        width = model.config.width(location)
        kept = [channel for channel in range(width) if draw.random() < share]
        nodes[location] = tuple(draw.sample(kept, len(kept)))
    return Circuit(nodes, "random", "task", "sweep", "k")


def random_ablations(circuit: Circuit, model: GPT, n: int = 8, seed: int = 0) -> list:
    """Nothing, single nodes, several, edges, both."""
    draw = random.Random(seed)
    nodes, joins = list(circuit.node_list), list(edges(circuit, model))
    found: list = [()]
    for i in range(n):
        chosen: list = draw.sample(nodes, min(len(nodes), 1 + i % 3)) if i % 4 != 3 else []
        if i % 2 and joins:
            chosen += draw.sample(joins, min(len(joins), 1 + i % 3))
        found.append(chosen)
    return found


def masked_margins(
    circuit: Circuit, model: GPT, means: Means, batch: TaskBatch, ablated: list[Node]
) -> torch.Tensor:
    """What the masked full model answers without ``ablated``."""
    alive = circuit.without(ablated).masks(model.config)
    with torch.no_grad():
        logits = answer_logits(model, batch.tokens, batch.last, alive=alive, means=means)
    return answer_margin(logits, batch.right, batch.wrong)
