"""A model trained in several runs, one starting from the last: what each did, one curve of all."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from circuit_sparsity.store import paths


def stages(run: Path) -> list[dict[str, Any]]:
    """Settings and steps of each run that led to the one in folder ``run``, the first one first."""
    state = torch.load(run / "checkpoint.pt", weights_only=True)
    settings = json.loads(state["settings"])
    before = settings.get("start_from")
    earlier = stages(run.parent / before) if before else []
    return [*earlier, {"run": run.name, "steps": state["step"], "settings": settings}]


def tokens_seen(made: list[dict[str, Any]]) -> int:
    """Tokens over all stages, repeated ones counted again."""
    sizes = (stage["settings"]["batch"] * stage["settings"]["context"] for stage in made)
    return sum(size * stage["steps"] for size, stage in zip(sizes, made, strict=True))


def joined_curve(run: Path) -> Iterator[str]:
    """Lines of ``progress.json`` over all stages; steps and tokens count from the first one."""
    steps = tokens = 0
    for stage in stages(run):
        text = (run.parent / stage["run"] / paths.CURVE).read_text(encoding="utf-8")
        for line in map(json.loads, text.splitlines()):
            if line["step"] <= stage["steps"]:
                line |= {"step": line["step"] + steps, "tokens": line["tokens"] + tokens}
                yield json.dumps(line)
        steps += stage["steps"]
        tokens += stage["steps"] * stage["settings"]["batch"] * stage["settings"]["context"]
