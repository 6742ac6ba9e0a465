"""``tasks``: what circuits are looked for on, with examples, and how well a model does.

A model's scores are measured here, on prompts of the test split."""

import argparse
import dataclasses
import re
from collections import Counter
from pathlib import Path
from typing import Any

from circuit_sparsity.cli.answer import Answer, Say, table
from circuit_sparsity.core.model import GPT
from circuit_sparsity.core.tokenizer import Tokenizer
from circuit_sparsity.experiment.opening import open_model, open_task, open_tokenizer
from circuit_sparsity.experiment.scores import PAIRS, Score, kinds_of, pairs_of_tests, score
from circuit_sparsity.store import Store
from circuit_sparsity.tasks import TASKS
from circuit_sparsity.tasks.own import OwnTask, read_pairs
from circuit_sparsity.tasks.task import SPLITS, Prompt, Task, differing, marked
from circuit_sparsity.tasks.template import TemplateTask

HELP = "show the tasks, examples of their prompts, and how well a model answers them"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", nargs="?", help="such as starter; measured here")
    parser.add_argument("--task", metavar="TASK", nargs="+", help="only these")
    parser.add_argument(
        "--pairs", metavar="FILE", help="a task of one's own: CSV or JSONL of pairs"
    )
    parser.add_argument(
        "--examples", type=int, default=0, metavar="N", help="pairs to show of each"
    )
    parser.add_argument(
        "--prompts", type=int, default=PAIRS, help=f"pairs to measure on, of each kind ({PAIRS})"
    )


def run(arguments: argparse.Namespace, say: Say) -> Answer:
    if arguments.examples < 0 or arguments.prompts < 1:
        raise ValueError(
            f"got --examples {arguments.examples} and --prompts {arguments.prompts}; expected 0 or "
            "more and 1 or more"
        )
    chosen, opened = _chosen(arguments), _opened(arguments.model)
    data = []
    for i, task in enumerate(chosen, start=1):
        if opened is not None:
            say(f"{i} of {len(chosen)}: {task.name}")
        data.append(_told(task, opened, arguments.examples, arguments.prompts))
    lines = [*_overview(data, arguments.model)]
    for one in data:
        lines += _example_lines(one) if arguments.examples else ()
    return Answer({"model": arguments.model, "tasks": data}, tuple(lines))


def _chosen(arguments: argparse.Namespace) -> list[Task]:
    if arguments.pairs is not None:
        path = Path(arguments.pairs)
        return [OwnTask(path.stem, "Pairs of one's own.", read_pairs(path))]
    return [open_task(name) for name in dict.fromkeys(arguments.task or TASKS)]


def _opened(name: str | None) -> tuple[GPT, Tokenizer] | None:
    if name is None:
        return None
    store = Store.from_environment()
    return open_model(store, name), open_tokenizer(store, name)


def _told(
    task: Task, opened: tuple[GPT, Tokenizer] | None, examples: int, pairs: int
) -> dict[str, Any]:
    told: dict[str, Any] = {"name": task.name, "summary": task.summary}
    if isinstance(task, TemplateTask):
        counts = Counter(template.split for template in task.templates)
        told["templates"] = {split: counts[split] for split in SPLITS}
    if examples:
        shown = pairs_of_tests(task, examples)
        told["examples"] = [dataclasses.asdict(pair) for pair in shown]
    if opened is not None:
        told["measured"] = {
            kind: dataclasses.asdict(score(*opened, task, kind, pairs)) for kind in kinds_of(task)
        }
    return told


def _overview(data: list[dict[str, Any]], model: str | None) -> tuple[str, ...]:
    head = ("task", "templates", "what is asked")
    if model is None:
        rows = [(one["name"], _templates(one), one["summary"]) for one in data]
        return (*table(head, rows), "templates: of the splits prune, validation and test")
    kinds = list(data[0]["measured"])
    columns = tuple(f"{kind}: right, loss" for kind in kinds)
    rows = [
        (one["name"], *(_scored(Score(**one["measured"][kind])) for kind in kinds)) for one in data
    ]
    prompts = data[0]["measured"][kinds[0]]["prompts"]
    return (
        *table(("task", *columns), rows),
        f"{model}, measured here on {prompts} prompts of the test split for each kind, which "
        "pruning never saw; losses in nats per sequence; chance is 50% and 0.693",
        "novel: structures that no generated training program has",
    )


def _templates(one: dict[str, Any]) -> str:
    counts = one.get("templates")
    return "-" if counts is None else " ".join(str(counts[split]) for split in SPLITS)


def _scored(one: Score) -> str:
    return f"{one.accuracy:.1%}, {one.loss:.3f}"


def _example_lines(one: dict[str, Any]) -> list[str]:
    lines = ["", f"{one['name']}: {one['summary']}"]
    for pair in one["examples"]:
        prompts = [Prompt(**pair[side]) for side in ("positive", "negative")]
        parts = [re.findall(r"\w+|\s+|[^\w\s]", prompt.text) for prompt in prompts]
        for prompt, of, places in zip(prompts, parts, differing(*parts), strict=True):
            lines += ["---", marked(of, places)]
            lines.append(f"    right {prompt.right!r}, wrong {prompt.wrong!r}")
    return lines
