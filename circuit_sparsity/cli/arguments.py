"""Arguments that several commands take, and what is refused before anything is computed."""

import argparse
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from circuit_sparsity.store import Store, StoreError, paths

if TYPE_CHECKING:
    from circuit_sparsity.experiment.experiment import Experiment


PRESETS = ("fast", "full", "masks", "published", "quick")  # of `circuit_sparsity.pruning`


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


def add_prompt(parser: argparse.ArgumentParser) -> None:
    """Which of the circuit's prompts a command is about."""
    parser.add_argument(
        "--prompt", type=whole_number(0), default=0, help="of the circuit's, from 0 (0)"
    )


def add_device(parser: argparse.ArgumentParser, default: str = "cpu") -> None:
    """Where a model runs; whether that device is here is asked before anything is read."""
    parser.add_argument(
        "--device",
        type=_device,
        default=default,
        help=f"auto, cpu, cuda, cuda:N or mps ({default})",
    )


def _device(text: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", text):
        raise argparse.ArgumentTypeError(f"got {text}; expected auto, cpu, cuda, cuda:N or mps")
    return text


def open_named(arguments: argparse.Namespace) -> "Experiment":
    """The circuit that the arguments of ``add_circuit`` name."""
    from circuit_sparsity.experiment.opening import open_circuit

    return open_circuit(
        arguments.model,
        arguments.task,
        arguments.sweep,
        arguments.k,
        answers=arguments.answers and tuple(arguments.answers),
        device=getattr(arguments, "device", "cpu"),
    )


def target_loss(text: str) -> float:
    """A loss to reach, in nats per sequence.

    >>> target_loss("0.15")
    0.15
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"got {text}; expected a loss of more than 0 nats")
    return value


def whole_number(least: int) -> Callable[[str], int]:
    """A reader of whole numbers from ``least`` on.

    >>> whole_number(1)("24")
    24
    """

    def read(text: str) -> int:
        if not text.lstrip("+-").isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"got {text}; expected a whole number from {least} on")
        return int(text)

    return read


def check_place(store: Store, model: str, task: str, sweep: str) -> None:
    """ValueError where a circuit of these names could not be stored, before it is looked for."""
    paths.checked(paths.viz_name(model, task, sweep, "k0"))
    check_store(store)


def check_store(store: Store, what: str = "results") -> None:
    """StoreError where ``what`` could not be written into the user's folder."""
    check_folder(store.folder, what, "CIRCUIT_SPARSITY_CACHE names another folder")


def check_size(store: Store, model: str, k: int) -> None:
    """ValueError where a model that is here has fewer than ``k`` nodes; reads its configuration."""
    folder = store.path_of_model(model)
    if folder is None:
        return  # whoever opens it says so

    from circuit_sparsity.circuits.circuit import total_nodes
    from circuit_sparsity.core.checkpoint import read_config

    most = total_nodes(read_config(folder / paths.CONFIG))
    if k > most:
        raise ValueError(
            f"a circuit of {k} nodes was asked for; {model} has {most} nodes: choose a number from "
            "1 to that"
        )


def check_folder(folder: Path, what: str, way_out: str) -> None:
    """StoreError where ``what`` could not be written into ``folder``, or one made there."""
    existing = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    if not existing.is_dir():
        raise StoreError(
            f"{what} would be written into {folder}, but {existing} is a file; {way_out}"
        )
    if not os.access(existing, os.W_OK | os.X_OK):
        raise StoreError(f"{what} would be written into {folder}, which is read-only; {way_out}")


def check_out(path: Path) -> None:
    """ValueError where a file cannot be written at ``path``."""
    if path.is_dir():
        raise ValueError(f"--out is {path}, which is a folder; expected the name of a file")
    check_folder(path.absolute().parent, f"the file {path.name}", "give another --out")
