"""What a command gives back: data for ``--json`` and lines for a person."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from circuit_sparsity.experiment.experiment import Experiment
from circuit_sparsity.experiment.opening import open_circuit


@dataclass(frozen=True)
class Answer:
    """``data`` is JSON values; ``lines`` says the same in words."""

    data: Any
    lines: tuple[str, ...]


Say = Callable[[str], None]  # progress, to the terminal's error stream


class Command(Protocol):
    """A module of this package: its arguments and its work."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, arguments: argparse.Namespace, say: Say) -> Answer: ...


def add_circuit(parser: argparse.ArgumentParser) -> None:
    """The four names of a circuit as positional arguments."""
    for name, example in (
        ("model", "starter"),
        ("task", "single_double_quote"),
        ("sweep", "prune"),
        ("k", "64"),
    ):
        parser.add_argument(name, metavar=name.upper(), help=f"such as {example}")
    parser.add_argument(
        "--answers",
        nargs=2,
        metavar=("A", "B"),
        help="answers to the stored prompts' first and second half: a token's text, or its id",
    )


def open_named(arguments: argparse.Namespace) -> Experiment:
    """The circuit that the arguments of ``add_circuit`` name."""
    return open_circuit(
        arguments.model,
        arguments.task,
        arguments.sweep,
        arguments.k,
        answers=arguments.answers and tuple(arguments.answers),
    )


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> tuple[str, ...]:
    """Lines of left-aligned columns.

    >>> table(("k", "where"), [("64", "shipped")])
    ('k   where', '64  shipped')
    """
    everything = [head, *rows]
    widths = [max(len(row[column]) for row in everything) for column in range(len(head))]
    return tuple(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in everything
    )
