"""``tasks``: what circuits are looked for on, with examples, and how well a model does.

A model's scores are measured here, on prompts of the test split."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuit_sparsity.cli.answer import Answer, Say
from circuit_sparsity.cli.arguments import whole_number
from circuit_sparsity.store import Store

if TYPE_CHECKING:
    from circuit_sparsity.core.model import GPT
    from circuit_sparsity.core.tokenizer import Tokenizer
    from circuit_sparsity.tasks.task import Task

PAIRS = 200  # of each kind that a model is measured on, where no other number is asked for


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", nargs="?", help="such as starter; measured here")
    parser.add_argument("--task", metavar="TASK", nargs="+", help="only these")
    parser.add_argument(
        "--pairs", metavar="FILE", help="a task of one's own: CSV or JSONL of pairs"
    )
    parser.add_argument(
        "--examples", type=whole_number(0), default=0, metavar="N", help="pairs to show of each"
    )
    parser.add_argument(
        "--prompts",
        type=whole_number(1),
        default=PAIRS,
        help=f"pairs to measure on, of each kind ({PAIRS})",
    )


def run(arguments: argparse.Namespace, say: Say) -> Answer:
    from circuit_sparsity.cli.task_lines import example_lines, overview, told

    chosen, opened = _chosen(arguments), _opened(arguments.model)
    data = list[dict[str, Any]]()
    for i, task in enumerate(chosen, start=1):
        if opened is not None:
            say(f"{i} of {len(chosen)}: {task.name}")
        data.append(told(task, opened, arguments.examples, arguments.prompts))
    lines = [*overview(data, arguments.model)]
    for one in data:
        lines += example_lines(one) if arguments.examples else ()
    return Answer({"model": arguments.model, "tasks": data}, tuple(lines))


def _chosen(arguments: argparse.Namespace) -> "list[Task]":
    from circuit_sparsity.experiment.opening import open_task
    from circuit_sparsity.tasks import TASKS
    from circuit_sparsity.tasks.own import OwnTask, read_pairs

    if arguments.pairs is not None:
        path = Path(arguments.pairs)
        return [OwnTask(path.stem, "Pairs of one's own.", read_pairs(path))]
    return [open_task(name) for name in dict.fromkeys(arguments.task or TASKS)]


def _opened(name: str | None) -> "tuple[GPT, Tokenizer] | None":
    if name is None:
        return None

    from circuit_sparsity.experiment.opening import open_model, open_tokenizer

    store = Store.from_environment()
    return open_model(store, name), open_tokenizer(store, name)
