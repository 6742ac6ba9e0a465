"""Sizes of circuits by three ways of looking: python benchmarks/circuit_sizes.py [--tasks ...]

On the shipped starter, at a target loss of 0.15 nats per sequence: attribution, masks with the
published settings, and masks with a steered price followed by the removal of what is not needed.
Masks take 200 steps of 16 prompt pairs each in both; `--published-steps` and `--published-pairs`
give the published settings more. Seconds are the processor's, of one thread, and then
by the clock: what it takes to find a circuit, its evidence not counted. The load says how many
processes shared the machine meanwhile.
"""

import argparse
import dataclasses
import os
import time

import torch

from circuit_sparsity.circuits.edges import edges
from circuit_sparsity.experiment.experiment import Experiment
from circuit_sparsity.experiment.opening import batch_of_tests, open_task, open_tokenizer
from circuit_sparsity.pruning.find import TargetNotReached, find
from circuit_sparsity.pruning.request import open_subject
from circuit_sparsity.pruning.settings import (
    FAST,
    FULL,
    PUBLISHED,
    QUICK,
    TARGET_LOSS,
    PruneSettings,
)
from circuit_sparsity.runtime.compiled import compile_circuit
from circuit_sparsity.store import Store

MODEL = "starter"
HEAD = ("task", "seed", "how", "nodes", "edges", "edges needed", "loss", "test loss")
HEAD += ("processor s", "clock s", "load")


WAYS = ("attribution", "quick", "published", "fast", "full")


def row(task: str, how: str, settings: PruneSettings) -> tuple[object, ...]:
    subject = open_subject(MODEL, task, settings)
    began, clock = time.process_time(), time.monotonic()
    try:
        circuit = find(subject, settings, target=TARGET_LOSS)
    except TargetNotReached as error:
        return task, settings.seed, how, *3 * "-", f"{error.lowest:.3f}", *4 * "-"
    seconds, clock = time.process_time() - began, time.monotonic() - clock
    tokenizer = open_tokenizer(Store.from_environment(), MODEL)
    batch = batch_of_tests(open_task(task), tokenizer, subject.model)
    opened = Experiment(circuit, subject.model, subject.means, batch)
    removal, joined = circuit.found.minimality, len(edges(circuit, subject.model))
    needed = "-" if removal is None else removal.edges_needed
    numbers = (
        f"{circuit.found.worst_loss:.3f}",
        f"{opened.of_circuit.loss:.3f}",
        f"{seconds:.1f}",
        f"{clock:.0f}",
    )
    numbers = (*numbers, f"{os.getloadavg()[0]:.0f}")
    return task, settings.seed, how, circuit.size, joined, needed, *numbers


def warm_up() -> None:
    """Kernels are compiled once per installation; that is no part of any figure."""
    subject = open_subject(MODEL, "single_double_quote", QUICK)
    circuit = find(subject, dataclasses.replace(QUICK, minimal=False, pairs=4), k=8)
    compile_circuit(circuit, subject.model, subject.means).on(subject.evaluation).losses()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", nargs="+", default=["single_double_quote", "bracket_counting"])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--published-steps", type=int, default=FAST.steps)
    parser.add_argument("--published-pairs", type=int, default=FAST.pairs)
    given = parser.parse_args()
    torch.set_num_threads(1)
    published = dataclasses.replace(
        PUBLISHED, steps=given.published_steps, pairs=given.published_pairs, bf16=True
    )
    settings = {
        "attribution": dataclasses.replace(QUICK, minimal=False),
        "quick": QUICK,
        "published": published,
        "fast": FAST,
        "full": FULL,
    }
    warm_up()
    print("| " + " | ".join(HEAD) + " |\n" + "|---" * len(HEAD) + "|", flush=True)
    for seed in range(given.seeds):
        for task in given.tasks:
            for how in given.ways:
                cells = row(task, how, dataclasses.replace(settings[how], seed=seed))
                print("| " + " | ".join(map(str, cells)) + " |", flush=True)


if __name__ == "__main__":
    main()
