"""``sweep``: search over settings for the best circuit of each model, task and size.

What is done is skipped, and a search that was stopped goes on, when the same command is given
again."""

import argparse
import contextlib
import dataclasses
import itertools
import os
import signal
import threading
from collections.abc import Generator
from types import FrameType
from typing import TYPE_CHECKING

from circuit_sparsity.cli.answer import Answer, Say
from circuit_sparsity.cli.arguments import add_device, check_place, target_loss, whole_number
from circuit_sparsity.store import Store

if TYPE_CHECKING:
    from circuit_sparsity.pruning.settings import PruneSettings
    from circuit_sparsity.pruning.sweep.cell import Cell, Job, Tried
    from circuit_sparsity.pruning.sweep.workers import Workers

SWEEP = "search"
TRIALS = 64  # the published searches had 256 to 768


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("models", metavar="MODEL", nargs="+", help="such as starter")
    parser.add_argument(
        "--task", metavar="TASK", nargs="+", required=True, help="such as single_double_quote"
    )
    size = parser.add_mutually_exclusive_group(required=True)
    size.add_argument(
        "--k", type=whole_number(1), nargs="+", help="lowest loss of exactly so many nodes"
    )
    size.add_argument(
        "--target",
        type=target_loss,
        nargs="+",
        metavar="LOSS",
        help="fewest nodes, nats per sequence",
    )
    parser.add_argument(
        "--trials", type=whole_number(1), default=TRIALS, help=f"of each search ({TRIALS})"
    )
    parser.add_argument(
        "--preset", choices=("fast", "full", "published"), default="fast", help="searched around"
    )
    parser.add_argument(
        "--steps", type=whole_number(0), help="optimiser steps of a trial (the preset's)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sweep", default=SWEEP, help=f"folder of the results ({SWEEP})")
    add_device(parser)
    where = parser.add_mutually_exclusive_group()
    cores = os.cpu_count() or 1
    where.add_argument(
        "--jobs",
        type=whole_number(1),
        default=cores,
        help=f"trials at once, a process each ({cores})",
    )
    where.add_argument("--scheduler", metavar="tcp://HOST:PORT", help="of a Dask cluster")


def run(arguments: argparse.Namespace, say: Say) -> Answer:
    store = Store.from_environment()
    for model, task in itertools.product(arguments.models, arguments.task):
        check_place(store, model, task, arguments.sweep)

    from circuit_sparsity.pruning.sweep.search import search_all

    cells = _cells(arguments)
    for cell in cells:
        cell.check(store)
    with contextlib.closing(_workers(arguments)) as workers, _stopped_by_ctrl_c(say) as say:
        found = list(search_all(cells, arguments.trials, workers, store, say))
    return Answer(
        {"cells": [one.to_dict() for one in found]},
        (*(one.line for one in found), f"stored in {store.folder}, sweep {arguments.sweep}"),
    )


@contextlib.contextmanager
def _stopped_by_ctrl_c(say: Say) -> Generator[Say, None, None]:
    """``say``, which ends the search at the next word after Ctrl-C.

    A KeyboardInterrupt that meets a finaliser is lost: Python ignores what is raised there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield say
        return
    pressed = threading.Event()

    def remember(number: int, frame: FrameType | None) -> None:
        pressed.set()
        signal.default_int_handler(number, frame)

    def said(text: str) -> None:
        if pressed.is_set():
            raise KeyboardInterrupt
        say(text)

    before = signal.signal(signal.SIGINT, remember)
    try:
        yield said
    finally:
        signal.signal(signal.SIGINT, before)


def _cells(arguments: argparse.Namespace) -> "list[Cell]":
    from circuit_sparsity.pruning.request import PruneRequest
    from circuit_sparsity.pruning.sweep.cell import Cell

    settings = _settings(arguments)
    if arguments.k:
        goals = [{"k": k} for k in dict.fromkeys(arguments.k)]
    else:
        goals = [{"target": target} for target in dict.fromkeys(arguments.target)]
    named = itertools.product(dict.fromkeys(arguments.models), dict.fromkeys(arguments.task), goals)
    return [
        Cell(
            PruneRequest(
                model,
                task,
                sweep=arguments.sweep,
                settings=settings,
                device=arguments.device,
                **goal,
            )
        )
        for model, task, goal in named
    ]


def _settings(arguments: argparse.Namespace) -> "PruneSettings":
    from circuit_sparsity.pruning.settings import preset

    chosen = dataclasses.replace(preset(arguments.preset), seed=arguments.seed)
    if arguments.steps is not None:
        chosen = dataclasses.replace(chosen, steps=arguments.steps)
    return chosen


def _workers(arguments: argparse.Namespace) -> "Workers[Job, Tried]":
    from circuit_sparsity.pruning.sweep.cell import attempt
    from circuit_sparsity.pruning.sweep.workers import DaskWorkers, LocalWorkers

    if arguments.scheduler:
        return DaskWorkers(attempt, arguments.scheduler)
    return LocalWorkers(attempt, arguments.jobs)
