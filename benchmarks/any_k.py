"""One run for all k against runs for one k each: python benchmarks/any_k.py --rows FILE [...]

For each pair of model and task: `family` makes the family of the stored run, and `dedicated` finds
a circuit of exactly k nodes by `full`, three seeds. Every row goes to FILE, a JSON line each, when
it is there, and rows that FILE has are not measured again: stop it and start it as you like.
`--table` measures nothing and prints what FILE has. Losses are on test prompts, in nats per
sequence; seconds are the processor's, of one thread.
"""

import argparse
import dataclasses
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from circuit_sparsity.circuits.edges import edges
from circuit_sparsity.experiment.opening import (
    batch_of_tests,
    open_stored,
    open_task,
    open_tokenizer,
)
from circuit_sparsity.pruning.any_k import keep_family, open_run
from circuit_sparsity.pruning.find import find
from circuit_sparsity.pruning.refine import circuit_of, losses_by_size, refine
from circuit_sparsity.pruning.request import open_subject
from circuit_sparsity.pruning.settings import FULL
from circuit_sparsity.store import Store

RUNS = {  # model and task: the stored run, and the sizes of dedicated runs
    ("starter", "single_double_quote"): (("full", "k24_seed0_full"), (12, 24, 37, 96, 384)),
    ("starter", "bracket_counting"): (("full", "k49_seed0_full"), (24, 49, 128, 384)),
    ("main", "single_double_quote"): (("full", "k43_seed0_full"), (24, 48, 96, 384)),
    ("main", "indent_for"): (("full", "k42_seed0_full"), (24, 48, 96, 384)),
    ("main", "while_return_true"): (("full", "k67_seed0_full"), (32, 64, 128, 384)),
    ("main", "set_or_string_fixedvarname"): (("full", "k61_seed0_full"), (32, 64, 128, 384)),
    ("dense", "single_double_quote"): (("masks", "k173_seed0_masks"), (96, 192, 384)),
    ("dense", "while_return_true"): (("masks", "k216_seed0_masks"), (96, 192, 384)),
}
SEEDS = (0, 1, 2)
NEAR = (1.1, 0.01)  # a family's loss is near the best of the dedicated within this factor and sum
Row = dict[str, Any]


def family(model: str, task: str, k_sizes: tuple[int, ...], chains: int, keep: bool) -> Row:
    store, (names, _) = Store.from_environment(), RUNS[model, task]
    circuit = open_stored(store, model, task, *names).circuit
    run = open_run(store, circuit)
    subject, ranking = run.cut.subject, run.cut.ranking
    settings = dataclasses.replace(FULL, seed=ranking.settings.seed)
    began, clock = time.process_time(), time.monotonic()
    made = refine(subject, settings, chains=chains, first=ranking, test=run.test)
    seconds, clock = time.process_time() - began, time.monotonic() - clock
    if keep:
        keep_family(store, circuit, made)
    sizes: Row = {}
    for k in k_sizes:
        chain = made.nodes(k)
        joins = len(edges(circuit_of(subject, chain), subject.model))
        sizes[str(k)] = [losses_by_size(subject, chain, [k], [run.test])[k], joins]
    switches = list(made.switches)
    return {"seconds": seconds, "clock": clock, "sizes": sizes, "switches": switches}


def dedicated(model: str, task: str, k: int, seed: int) -> Row:
    store, settings = Store.from_environment(), dataclasses.replace(FULL, seed=seed)
    subject = open_subject(model, task, settings)
    test = batch_of_tests(open_task(task), open_tokenizer(store, model), subject.model)
    began, clock = time.process_time(), time.monotonic()
    circuit = find(subject, settings, k=k)
    seconds, clock = time.process_time() - began, time.monotonic() - clock
    loss = losses_by_size(subject, circuit.node_list, [k], [test])[k]
    joins = len(edges(circuit, subject.model))
    return {"seconds": seconds, "clock": clock, "test_loss": loss, "edges": joins}


def wanted(pairs: list[tuple[str, str]], chains: int) -> Iterator[Row]:
    """Families first, then one size of every pair after the other."""
    for model, task in pairs:
        yield {"what": "family", "model": model, "task": task, "chains": chains}
    longest = max(len(RUNS[pair][1]) for pair in pairs)
    for number in range(longest):
        for model, task in pairs:
            for k in RUNS[model, task][1][number : number + 1]:
                for seed in SEEDS:
                    yield {"what": "dedicated", "model": model, "task": task, "k": k, "seed": seed}


def measure(rows: Path, pairs: list[tuple[str, str]], chains: int, keep: bool) -> None:
    keys = [{key: row.get(key) for key in row if key in _KEYS} for row in read(rows)]
    for row in wanted(pairs, chains):
        if row in keys:
            continue
        model, task = row["model"], row["task"]
        if row["what"] == "family":
            found = family(model, task, RUNS[model, task][1], chains, keep)
        else:
            found = dedicated(model, task, row["k"], row["seed"])
        with rows.open("a", encoding="utf-8") as file:
            file.write(json.dumps({**row, **found, "load": os.getloadavg()[0]}) + "\n")


_KEYS = ("what", "model", "task", "chains", "k", "seed")


def read(rows: Path) -> list[Row]:
    if not rows.is_file():
        return []
    return [json.loads(line) for line in rows.read_text(encoding="utf-8").splitlines()]


def table(rows: list[Row]) -> Iterator[str]:
    head = ("model", "task", "k", "one run", "dedicated", "best", "holds", "edges, one run")
    yield "| " + " | ".join(head) + " |"
    yield "|---" * len(head) + "|"
    families = {(row["model"], row["task"]): row for row in rows if row["what"] == "family"}
    for (model, task), made in families.items():
        for k, (loss, joins) in made["sizes"].items():
            losses = [
                row["test_loss"]
                for row in rows
                if row["what"] == "dedicated"
                and (row["model"], row["task"], str(row["k"])) == (model, task, k)
            ]
            if losses:
                best = min(losses)
                holds = "yes" if loss <= NEAR[0] * best + NEAR[1] else "**no**"
                every = " ".join(f"{one:.3f}" for one in losses)
                cells = (model, task, k, f"{loss:.3f}", every, f"{best:.3f}", holds, joins)
                yield "| " + " | ".join(map(str, cells)) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=Path, required=True, help="a file of JSON lines")
    parser.add_argument("--pairs", nargs="+", help="such as starter:bracket_counting")
    parser.add_argument("--chains", type=int, default=3)
    parser.add_argument("--keep", action="store_true", help="write families into the user's folder")
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    if not given.table:
        torch.set_num_threads(1)
        named = [tuple(pair.split(":")) for pair in given.pairs or ()]
        measure(given.rows, named or list(RUNS), given.chains, given.keep)
    print("\n".join(table(read(given.rows))))


if __name__ == "__main__":
    main()
