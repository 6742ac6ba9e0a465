"""Tasks as ``tasks`` prints them: as data, as a table, as examples with their difference marked."""

import dataclasses
import re
from collections import Counter
from typing import Any

from circuit_sparsity.cli.answer import table
from circuit_sparsity.core.model import GPT
from circuit_sparsity.core.tokenizer import Tokenizer
from circuit_sparsity.experiment.scores import Score, kinds_of, pairs_of_tests, score
from circuit_sparsity.tasks.task import SPLITS, Prompt, Task, differing, marked
from circuit_sparsity.tasks.template import TemplateTask


def told(
    task: Task, opened: tuple[GPT, Tokenizer] | None, examples: int, pairs: int
) -> dict[str, Any]:
    data: dict[str, Any] = {"name": task.name, "summary": task.summary}
    if isinstance(task, TemplateTask):
        counts = Counter(template.split for template in task.templates)
        data["templates"] = {split: counts[split] for split in SPLITS}
    if examples:
        shown = pairs_of_tests(task, examples)
        data["examples"] = [dataclasses.asdict(pair) for pair in shown]
    if opened is not None:
        data["measured"] = {
            kind: dataclasses.asdict(score(*opened, task, kind, pairs)) for kind in kinds_of(task)
        }
    return data


def overview(data: list[dict[str, Any]], model: str | None) -> tuple[str, ...]:
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


def example_lines(one: dict[str, Any]) -> list[str]:
    lines = ["", f"{one['name']}: {one['summary']}"]
    for pair in one["examples"]:
        prompts = [Prompt(**pair[which]) for which in ("positive", "negative")]
        parts = [re.findall(r"\w+|\s+|[^\w\s]", prompt.text) for prompt in prompts]
        for prompt, of, places in zip(prompts, parts, differing(*parts), strict=True):
            lines += ["---", marked(of, places)]
            lines.append(f"    right {prompt.right!r}, wrong {prompt.wrong!r}")
    return lines
