"""Seconds a pruning step: python benchmarks/pruning.py [--shapes ...]

Random models in released shapes and densities. Baseline: the plain dense masked pass, that is a
dense float32 model with a gate at every location, all logits at all positions, and a backward pass
to the gates. Ours: a step of `pruning/learn.py`, with every node taking part, with 1% of them
left, and as the mean of a whole run in which nodes leave as they did on the starter (`LEAVING`;
random weights leave in no such way). Seconds are the processor's, medians of one process in which
dense passes and steps take turns.
"""

import argparse
import os
import statistics
import time
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from models import YOLO1, YOLO2, Shape, random_model
from table import Row, Work, print_rows

from circuit_sparsity.circuits.means import Means
from circuit_sparsity.circuits.node_vector import Layout
from circuit_sparsity.core.model import GPT, GPTConfig
from circuit_sparsity.pruning.answers import gated
from circuit_sparsity.pruning.learn import _Run
from circuit_sparsity.pruning.settings import Goal, PruneSettings
from circuit_sparsity.pruning.subject import Subject
from circuit_sparsity.runtime.warm_up import warm_up
from circuit_sparsity.tasks.task import TaskBatch

TOKENS = 64  # a prompt
LEAVING = {1.0: 0.45, 0.73: 0.05, 0.02: 0.1, 0.01: 0.4}  # share of the nodes left: of the steps
ROUNDS = 3
_CUT = "attn_in,attn_v,attn_out,mlp_in,mlp_neuron,mlp_out"  # no q, no k


def _sweep(density: float) -> Shape:
    config = GPTConfig(
        1024, 2048, 8, 16, 16, 256, d_mlp=1024, rms_norm=True, tied_unembed=False,
        afrac=0.125, afrac_loctypes=_CUT, enable_bigram_table=True, learnable_bigram_table=True,
    )  # fmt: skip
    return Shape("csp_sweep1_1x", config, density)


@dataclass(frozen=True)
class Case:
    """A shape, the prompts a step, and how many times faster than the dense pass a step must be."""

    shape: Shape
    prompts: int
    at_least: float


CASES = {
    "yolo1": Case(YOLO1, 4, 20),
    "yolo2": Case(YOLO2, 2, 20),
    "sweep64": Case(_sweep(1 / 64), 16, 4),
    "sweep8": Case(_sweep(1 / 8), 16, 0),
}


def prompts(n: int) -> TaskBatch:
    tokens = torch.randint(1, 2048, (n, TOKENS), generator=torch.Generator().manual_seed(0))
    answers = torch.tensor([5, 9]).repeat(n // 2)
    return TaskBatch(tokens, torch.full((n,), TOKENS - 1), answers, answers.flip(0))


def plain_step(model: GPT, layout: Layout, batch: TaskBatch) -> None:
    """The dense masked pass, forward and backward to the gates."""
    gate = torch.ones(layout.size).requires_grad_()
    hook = gated(layout.views(gate), layout.views(torch.zeros(layout.size)))
    logits = model(batch.tokens, hook=hook)[0]
    rows = torch.arange(len(batch))
    last = logits[rows, batch.last]
    margin = last[rows, batch.right] - last[rows, batch.wrong]
    torch.autograd.grad(F.softplus(-margin).mean(), gate)


class Ours:
    """A run from which all but a share of the nodes has left."""

    def __init__(self, subject: Subject, share: float, batch: TaskBatch) -> None:
        assert subject.panels is not None, "the model is dense"
        self._run, self._batch = _Run(subject, PruneSettings(), Goal()), batch
        generator = torch.Generator().manual_seed(1)
        left = torch.rand(subject.layout.size, generator=generator) < share
        self._run.tau[~left] = -1.0
        self._run.left = subject.panels.run(left)

    def step(self) -> None:
        self._run.advance(self._batch)


def rows(name: str) -> list[Row]:
    case = CASES[name]
    layout, batch = Layout(case.shape.config), prompts(case.prompts)
    means = Means(layout.split(torch.zeros(layout.size)))
    sparse, dense = (random_model(case.shape, engine) for engine in ("sparse", "dense"))
    subject = Subject(sparse, means, batch, batch, case.shape.name, "random")
    works: dict[object, Work] = {s: Ours(subject, s, batch).step for s in LEAVING}
    works["dense"] = lambda: plain_step(dense, layout, batch)
    seconds = {what: [_seconds(work) for _ in range(ROUNDS)][1:] for what, work in works.items()}
    cpu, wall = (
        {k: statistics.median(x[i] for x in v) for k, v in seconds.items()} for i in (0, 1)
    )
    what = f"{case.shape.name}, {case.prompts} × {TOKENS} tokens, 1/{1 / case.shape.density:g}"
    run, clock = (sum(part * x[s] for s, part in LEAVING.items()) for x in (cpu, wall))
    note = f"by the clock {wall['dense'] / clock:.1f}; load {os.getloadavg()[0]:.0f}"
    parts = {"whole run": (run, case.at_least), "all nodes": (cpu[1.0], 0), "1%": (cpu[0.01], 0)}
    return [
        Row(f"{what}: {part}", 1e3 * ours, 1e3 * cpu["dense"], "ms", least, note)
        for part, (ours, least) in parts.items()
    ]


def _seconds(work: Work) -> tuple[float, float]:
    """Of the processor and of the clock."""
    began, used = time.perf_counter(), time.process_time()
    work()
    return time.process_time() - used, time.perf_counter() - began


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    warm_up()
    for shape in args.shapes:
        print_rows(rows(shape))
