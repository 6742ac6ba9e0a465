"""What tasks, sweeps and circuits are called on the screen; links keep their own names.

Tasks themselves are imported where they are read: torch comes with them, and what the sidebar shows
first must not wait for it.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from circuit_sparsity.store import Store

_RELEASED = "_beeg"  # how the release ends its tasks' names
_LONGEST = 26  # characters of an example
_TASKS = {
    "single_double_quote": "Close a quote",
    "fstring_brace": "Fill an f-string",
    "bracket_counting": "Count brackets",
    "bracket_brace": "Dict or list",
    "if_ternary": "If: statement or expression",
    "else_elif": "else or elif",
    "if_equals": "Compare or assign",
    "class_init": "Copy an attribute",
    "var_swap": "Swap two variables",
    "with_as": "Name an opened file",
    "with_open": "Read or write a file",
    "final_kwarg": "Default of an argument",
    "lambda_func": "Lambda or function",
    "set_or_string": "Set or string",
    "set_or_string_fixedvarname": "Set or string, one name",
    "for_while": "for or while",
    "enumerate_range": "enumerate or range",
    "indent_for": "Indent after for",
    "var_if": "if or assignment",
    "while_return_true": "while or return",
}
_SWEEPS = {
    "full": "Masks, then removal",
    "masks": "Masks alone",
    "prune": "Several sizes",
    "local": "Found here",
}
_SIZED = re.compile(r"k(\d+)_seed(\d+)")


def task_name(task: str) -> str:
    """A task in two or three words; its own name where it is not one of ours.

    >>> task_name("bracket_counting_beeg"), task_name("my_pairs_a1b2c3")
    ('Count brackets', 'my_pairs_a1b2c3')
    """
    return _TASKS.get(task.removesuffix(_RELEASED), task)


def question(task: str) -> str:
    """What the task asks, one sentence with code in back-quotes; empty where that is unknown."""
    from circuit_sparsity.tasks import TASKS

    known = TASKS.get(task.removesuffix(_RELEASED))
    return known.summary if known else ""


def sweep_name(sweep: str) -> str:
    """A search for circuits in words; its own name where it is not one of ours."""
    return _SWEEPS.get(sweep, sweep)


def circuit_name(model: str, task: str, sweep: str, k: str) -> str:
    """A circuit by its size, and its loss on test prompts where evidence of it is here."""
    sized = _SIZED.match(k)
    if sized is None:
        return k
    loss = _loss(model, task, sweep, k)
    return f"{int(sized[1]):,} nodes" + ("" if loss is None else f", loss {loss:.2f}")


def different(options: Sequence[str], called: Callable[[str], str]) -> Mapping[str, str]:
    """What each is called; its own name is added where two would be called the same.

    >>> dict(different(["a", "b", "c"], {"a": "x", "b": "x", "c": "y"}.__getitem__))
    {'a': 'x (a)', 'b': 'x (b)', 'c': 'y'}
    """
    names = {option: called(option) for option in options}
    every = list(names.values())
    return {
        option: f"{name} ({option})" if every.count(name) > 1 and name != option else name
        for option, name in names.items()
    }


@lru_cache(maxsize=64)
def examples(task: str) -> tuple[tuple[str, str], ...]:
    """The ends of a prompt of each class, and what comes next; nothing for an unknown task."""
    from circuit_sparsity.tasks import TASKS

    known = TASKS.get(task.removesuffix(_RELEASED))
    if known is None:
        return ()
    pair = known.pairs("validation", 1)[0]
    return tuple(
        (_end(prompt.text), prompt.right.strip("\n") or "⏎")
        for prompt in (pair.positive, pair.negative)
    )


def _end(text: str) -> str:
    last = text.rstrip("\n").rsplit("\n", 1)[-1].strip()
    return last if len(last) <= _LONGEST else f"…{last[-_LONGEST:]}"


def _loss(model: str, task: str, sweep: str, k: str) -> float | None:
    """Nats per sequence, from the evidence beside the circuit's file."""
    path = Store.from_environment().path_of_viz(model, task, sweep, k)
    beside = None if path is None else path.with_name("evidence.json")
    if beside is None or not beside.is_file():
        return None
    return _loss_of(beside, beside.stat().st_mtime_ns)


@lru_cache(maxsize=1024)
def _loss_of(path: Path, changed: int) -> float | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return float(found["sufficiency"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # the page of evidence says what is wrong with it
