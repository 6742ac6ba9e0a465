"""Tokens a second of training against the plain loop: python benchmarks/training.py

The plain loop is the same step as the paper tells it, written the obvious way: float32, torch.topk
for activations and weights, Adam without fusion, a projection that protects lines by loops of
torch.topk. Both take the same batches of the shipped main model's shape, at the density it ends at.
"""

import argparse
from functools import partial
from pathlib import Path

import torch
from table import Row, print_rows, timed
from torch import Tensor, nn

from circuit_sparsity.core.model import GPT
from circuit_sparsity.training.optimiser import Group, SparseAdam, groups
from circuit_sparsity.training.settings import TrainSettings

SETTINGS = Path("settings/main.json")


class PlainStep:
    """One step of training without any of the project's kernels."""

    def __init__(self, settings: TrainSettings) -> None:
        self.model, self.settings = GPT(settings.model), settings
        self.model.initialise(settings.seed)
        self.groups = groups(self.model, settings)
        for module in self.model.modules():
            _use_torch_topk(module)
        self.adam = torch.optim.Adam(
            [group.parameter for group in self.groups], lr=1e-3, eps=settings.eps, foreach=False
        )

    def __call__(self, tokens: Tensor, targets: Tensor) -> None:
        self.adam.zero_grad()
        self.model(tokens, targets)[1].backward()
        self.adam.step()
        with torch.no_grad():
            for group in self.groups:
                _project(group, self.settings.at_least)


class OurStep:
    """The step of `circuit_sparsity.training.loop`, without reading batches."""

    def __init__(self, settings: TrainSettings) -> None:
        self.model, self.settings = GPT(settings.model), settings
        self.model.initialise(settings.seed)
        self.optimiser = SparseAdam(self.model, settings)

    def __call__(self, tokens: Tensor, targets: Tensor) -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits, _, _ = self.model(tokens)
        loss = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), targets.flatten())
        self.optimiser.adam.zero_grad()
        loss.backward()
        self.optimiser.step(self.settings.steps - 1)  # at the final density


def _use_torch_topk(module: nn.Module) -> None:
    """Replace each activation top-k in ``module`` by torch.topk and a mask."""
    for name, value in vars(module).items():
        if isinstance(value, partial):
            setattr(module, name, partial(_plain_top_k, **value.keywords))
        elif isinstance(value, dict) and name == "_cut":
            for key, cut in value.items():
                if isinstance(cut, partial):
                    value[key] = partial(_plain_top_k, **cut.keywords)


def _plain_top_k(x: Tensor, k: int) -> Tensor:
    kept = x.abs().topk(k, dim=-1).indices
    return torch.zeros_like(x).scatter(-1, kept, x.gather(-1, kept))


def _project(group: Group, at_least: int) -> None:
    weight = group.parameter if group.parameter.dim() == 2 else group.parameter[None]
    k = max(1, round(group.target * weight.numel()))
    if k >= weight.numel():
        return
    score = weight.abs().clone()
    if group.protect is not None:
        best = score.topk(min(at_least, score.shape[group.protect]), dim=group.protect).indices
        score.scatter_add_(group.protect, best, torch.full_like(score, float(score.max()) + 1))
    kept = score.flatten().topk(k).indices
    mask = torch.zeros_like(score).flatten()
    mask[kept] = 1
    group.parameter.mul_(mask.view_as(group.parameter))


def training_row(rounds: int, batch: int = 16, context: int = 128) -> Row:
    """One step of training, ours against the plain loop, in milliseconds."""
    settings = TrainSettings.read(SETTINGS)
    generator = torch.Generator().manual_seed(0)
    text = torch.randint(0, settings.model.vocab_size, (batch, context + 1), generator=generator)
    ours, plain = OurStep(settings), PlainStep(settings)
    work = (text[:, :-1].contiguous(), text[:, 1:].contiguous())
    what = f"a step of training, {batch} × {context} tokens, the main model's shape"
    row = timed(what, lambda: ours(*work), lambda: plain(*work), rounds, 1)
    tokens = batch * context
    rates = f"{1e3 * tokens / row.ours:,.0f} against {1e3 * tokens / row.baseline:,.0f} tokens/s"
    return Row(row.what, row.ours, row.baseline, row.unit, 1, f"{rates}; {row.note}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print_rows([training_row(args.rounds)])
