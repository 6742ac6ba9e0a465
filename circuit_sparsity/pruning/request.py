"""A pruning from names to a file: what was asked for, done, measured and stored."""

import dataclasses
import threading
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.experiment import Experiment, Progress
from circuit_sparsity.measurement import measure_stored
from circuit_sparsity.model import GPT
from circuit_sparsity.opening import (
    experiment_on_tests,
    open_means,
    open_model,
    open_task,
    open_tokenizer,
)
from circuit_sparsity.pruning.learn import Report
from circuit_sparsity.pruning.find import SWEEP, prune
from circuit_sparsity.pruning.settings import FAST, PruneSettings
from circuit_sparsity.pruning.subject import Subject
from circuit_sparsity.release import write_viz
from circuit_sparsity.store import Store, paths
from circuit_sparsity.tokenizer import Tokenizer
from circuit_sparsity.training.programs import generate_documents

STORED_PAIRS = 32  # a file with more would grow with no gain to who looks at samples
DOCUMENT_WINDOWS = 192
DOCUMENT_SERIES = "documents"  # programs that no model was trained on


@dataclass(frozen=True)
class PruneRequest:
    """Everything that decides a circuit: the same request gives the same circuit."""

    model: str
    task: str
    target: float | None = None  # nats per sequence; without target and k, the paper's 0.15
    k: int | None = None  # exactly so many nodes
    sweep: str = SWEEP
    settings: PruneSettings = FAST


@dataclass(frozen=True)
class Pruned:
    """A circuit that was found and stored."""

    circuit: Circuit
    experiment: Experiment  # on test prompts, which pruning never saw
    path: Path


def carry_out(
    request: PruneRequest,
    store: Store | None = None,
    report: Report = lambda snapshot: None,
    progress: Progress = lambda done, of: None,
    cancel: threading.Event | None = None,
) -> Pruned:
    """Find the circuit, measure what its file holds, and write that into the user's folder.

    ``report`` follows the pruning, ``progress`` the measuring. Raises ValueError for an unknown
    name or a bad number, TargetNotReached, and Cancelled; nothing is stored then.
    """
    store = store or Store.from_environment()
    task = open_task(request.task)
    model, means = open_model(store, request.model), open_means(store, request.model)
    tokenizer = open_tokenizer(store, request.model)
    subject = Subject.of_task(model, means, tokenizer, task, request.model, request.settings)
    circuit = prune(
        subject,
        request.settings,
        target=request.target,
        k=request.k,
        sweep=request.sweep,
        report=report,
        cancel=cancel,
    )
    experiment = experiment_on_tests(circuit, model, means, tokenizer)
    path = keep(experiment, store, document_windows(model, tokenizer), progress, cancel)
    return Pruned(circuit, experiment, path)


def keep(
    experiment: Experiment,
    store: Store,
    windows: Int[Tensor, "window pos"],
    progress: Progress = lambda done, of: None,
    cancel: threading.Event | None = None,
) -> Path:
    """Measure ``experiment`` and write its circuit's file into the user's folder.

    What the file stores is measured on the first pairs of the experiment's prompts.
    """
    pairs = range(min(STORED_PAIRS, experiment.batch.n_pairs))
    fewer = dataclasses.replace(experiment, batch=experiment.batch.select(pairs))
    stored = measure_stored(fewer, windows, progress=progress, cancel=cancel)
    circuit = experiment.circuit
    folder = store.viz_folder(
        circuit.model, circuit.task, circuit.sweep, circuit.k, {"found": dict(circuit.found)}
    )
    return write_viz(stored, folder / paths.VIZ)


def document_windows(model: GPT, tokenizer: Tokenizer) -> Int[Tensor, "window pos"]:
    """Generated programs that no model was trained on, cut into windows of the model's context."""
    length = model.config.block_size
    tokens: list[int] = []
    for document in generate_documents(DOCUMENT_SERIES, 10 * DOCUMENT_WINDOWS):
        tokens += [*tokenizer.encode(document), tokenizer.eot]
        if len(tokens) >= DOCUMENT_WINDOWS * length:
            break
    windows = len(tokens) // length
    return torch.tensor(tokens[: windows * length]).view(windows, length)
