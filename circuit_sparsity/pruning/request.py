"""The ways in: ``prune`` for a notebook, ``carry_out`` from names to files."""

import dataclasses
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.circuits.means import Means, mean_activations
from circuit_sparsity.core.model import GPT
from circuit_sparsity.core.tokenizer import Tokenizer
from circuit_sparsity.experiment.experiment import Cancelled, Experiment, Progress
from circuit_sparsity.experiment.measurement import measure_stored
from circuit_sparsity.experiment.opening import (
    OWN_MEANS,
    PAIRS,
    batch_of_tests,
    means_for,
    open_means,
    open_model,
    open_stored,
    open_task,
    open_tokenizer,
)
from circuit_sparsity.programs import generate_documents
from circuit_sparsity.pruning.find import SWEEP, Cut, check_size, find, rank
from circuit_sparsity.pruning.learn import SnapshotReport
from circuit_sparsity.pruning.ranking import Nested, read_nested, write_nested
from circuit_sparsity.pruning.settings import FAST, FULL, Goal, PruneSettings
from circuit_sparsity.pruning.subject import Subject
from circuit_sparsity.release import write_means, write_viz
from circuit_sparsity.release.values import SearchPoint, StoredCircuit
from circuit_sparsity.store import NoSpace, Store, paths
from circuit_sparsity.store.atomic import write_atomically
from circuit_sparsity.store.download import disk_errors
from circuit_sparsity.tasks.own import OwnTask, pairs_as_jsonl
from circuit_sparsity.tasks.task import Task

LONGEST = 128  # tokens of a window, at most
WINDOWS = 2048  # at most: a quarter of a million tokens
AT_ONCE = 16  # windows
ENDINGS = (".py", ".txt", ".md")  # what is read of a folder


@dataclass(frozen=True, eq=False)
class MeansOverText:
    """Means, and the text that they were taken over, in words."""

    means: Means
    title: str


def means_over_text(model: GPT, tokenizer: Tokenizer, path: str | Path) -> MeansOverText:
    """Means over a text file, or over all .py, .txt and .md files of a folder, in order.

    Taken over whole windows of 128 tokens, or of the model's context if that is shorter, of which
    the first 2,048 count. Raises ValueError for a path that cannot be read, for what is not UTF-8
    and for less text than one window.
    """
    place = Path(path).expanduser()
    length = min(model.config.block_size, LONGEST)
    windows = cut_windows(_documents(place), tokenizer, length, WINDOWS)
    if not len(windows):
        raise ValueError(
            f"{place} holds less than one window of {length} tokens; give more text to take means "
            "over"
        )
    title = f"{place.name}, {windows.numel():,} tokens"
    return MeansOverText(mean_activations(model, windows.split(AT_ONCE)), title)


def cut_windows(
    documents: Iterable[str], tokenizer: Tokenizer, length: int, most: int
) -> Int[Tensor, "window pos"]:
    """The first ``most`` windows of ``documents``, each of which ends with an end of text."""
    tokens: list[int] = []
    for document in documents:
        tokens += [*tokenizer.encode(document), tokenizer.eot]
        if len(tokens) >= most * length:
            break
    windows = min(len(tokens) // length, most)
    return torch.tensor(tokens[: windows * length], dtype=torch.long).view(windows, length)


def _documents(place: Path) -> Iterable[str]:
    if not place.exists():
        raise ValueError(f"there is no {place} to take means over; give a text file or a folder")
    files = [place]
    if place.is_dir():
        files = sorted(file for file in place.rglob("*") if file.suffix in ENDINGS)
    for file in files:
        try:
            yield file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(
                f"{file} cannot be read as text ({error}); save it as UTF-8, or leave it out"
            ) from error


STORED_PAIRS = 32  # a file with more would grow with no gain to who looks at samples
DOCUMENT_WINDOWS = 192
DOCUMENT_LENGTH = 128  # tokens of a window, at most: longer ones make files grow with no gain
DOCUMENT_SERIES = "documents"  # programs that no model was trained on
MEANS_AT_ONCE = 16  # windows

PAUSE = 5.0  # seconds between two tries to write to a full disk


@dataclass(frozen=True)
class PruneRequest:
    """Everything that decides a circuit: the same request gives the same circuit."""

    model: str
    task: str
    target: float | None = None  # nats per sequence; without target and k, the paper's 0.15
    k: int | None = None  # exactly so many nodes
    sweep: str = SWEEP
    settings: PruneSettings = FAST
    name: str | None = None  # of the circuit's folder; without one, its size, seed and settings
    start: tuple[str, str] | None = None  # sweep and k of a circuit whose nodes come first
    means_over: str | None = None  # a text file or a folder; without one, the model's means
    device: str = "cpu"  # where it is looked for: auto, cpu, cuda, cuda:N or mps


@dataclass(frozen=True)
class Pruned:
    """A circuit that was found and stored, and the nested circuits of every size beside it."""

    circuit: Circuit
    experiment: Experiment  # on test prompts, which pruning never saw
    path: Path
    nested: Nested


def prune(
    model: GPT | str,
    task: Task | str,
    settings: PruneSettings = FULL,
    *,
    target: float | None = None,
    k: int | None = None,
    tokenizer: Tokenizer | None = None,
    means: Means | None = None,
    start: Circuit | None = None,
    device: str = "cpu",
    report: SnapshotReport = lambda snapshot: None,
    cancel: threading.Event | None = None,
) -> Circuit:
    """The circuit of a model on a task: the fewest nodes at ``target``, or exactly ``k``.

        circuit = prune("starter", "single_double_quote", target=0.15)

    A model or a task may be given by its name. A model that is given itself needs its
    ``tokenizer``; without ``means``, they are taken over generated programs. ``start`` is a circuit
    to begin with: only its nodes are on at first, and others may come in. ``device`` is where a
    model that is named runs (auto, cpu, cuda, cuda:N, mps); one that is given runs where it is.
    Nothing is stored.
    Raises as ``find`` does, and ValueError for an unknown name or a missing tokenizer.
    """
    Goal.of(target, k)  # speaks up before any work
    subject = open_subject(model, task, settings, tokenizer, means, device=device)
    return find(subject, settings, target=target, k=k, start=start, report=report, cancel=cancel)


def open_subject(
    model: GPT | str,
    task: Task | str,
    settings: PruneSettings,
    tokenizer: Tokenizer | None = None,
    means: Means | None = None,
    store: Store | None = None,
    means_over: str | None = None,
    device: str = "cpu",
) -> Subject:
    """What is pruned, from a model or its name and a task or its name.

    ``means_over`` names the text of ``means`` that are to be kept beside what is found.
    """
    task = open_task(task) if isinstance(task, str) else task
    if isinstance(model, str):
        store, name = store or Store.from_environment(), model
        model = open_model(store, name, device=device)
        tokenizer = tokenizer or open_tokenizer(store, name)
        means = means or open_means(store, name)
    else:
        name = "model"
        if tokenizer is None:
            raise ValueError(
                "a model was given without its tokenizer, and prompts cannot be read; give "
                "tokenizer=..., or the name of a model in place of the model"
            )
        means = means or means_over_programs(model, tokenizer)
    return Subject.of_task(model, means, tokenizer, task, name, settings, means_over)


@dataclass(frozen=True)
class Observer:
    """Who follows a pruning that takes minutes, and may stop it."""

    snapshot: SnapshotReport = lambda snapshot: None  # while nodes are ranked, counted, removed
    measured: Progress = lambda done, of: None  # while the file's numbers are measured
    disk_full: Callable[[NoSpace], object] | None = None  # told before each new try; None: no try
    cancel: threading.Event | None = None  # set by the observer: the work ends with Cancelled


def carry_out(
    request: PruneRequest,
    store: Store | None = None,
    observer: Observer = Observer(),  # noqa: B008  (frozen)
    task: Task | None = None,
    search: Iterable[SearchPoint] = (),
) -> Pruned:
    """Find the circuit, measure what its file holds, and write that into the user's folder.

    The nested circuits of every size go beside it, means that are not the model's own, and the
    pairs of a task of one's own. ``task`` stands in place of the one that the request names, and
    ``search`` is the course of the search that led to the request.
    Raises ValueError for an unknown name or a bad number, TargetNotReached, and Cancelled;
    nothing is stored then.
    """
    store = store or Store.from_environment()
    task, goal = task or open_task(request.task), Goal.of(request.target, request.k)
    means, over = _own_means(store, request)
    subject = open_subject(
        request.model,
        task,
        request.settings,
        means=means,
        store=store,
        means_over=over,
        device=request.device,
    )
    if goal.k is not None:
        check_size(goal.k, subject)
    start = None
    if request.start is not None:
        start = open_stored(store, request.model, request.task, *request.start).circuit
    ranking = rank(subject, request.settings, goal, observer.snapshot, observer.cancel, start)
    cut = Cut(subject, ranking, observer.snapshot, observer.cancel, start)
    circuit = cut.circuit(goal, request.sweep)
    if request.name is not None:
        circuit = dataclasses.replace(circuit, k=request.name)
    nested = Nested(ranking, cut.curve())
    model, tokenizer = subject.model, open_tokenizer(store, request.model)
    batch = batch_of_tests(task, tokenizer, model)
    name = f"{len(batch)} prompts of the test split, never pruned on"
    experiment = Experiment(circuit, model, subject.means, batch, name)
    path = keep(experiment, store, nested, task, search, observer)
    return Pruned(circuit, experiment, path, nested)


def _own_means(store: Store, request: PruneRequest) -> tuple[Means | None, str | None]:
    """Means over the text that is asked for, and the text in words."""
    if request.means_over is None:
        return None, None
    model, tokenizer = open_model(store, request.model), open_tokenizer(store, request.model)
    found = means_over_text(model, tokenizer, request.means_over)
    return found.means, found.title


def open_cut(
    store: Store, circuit: Circuit, task: Task | None = None, cancel: threading.Event | None = None
) -> Cut | None:
    """The run that found a stored circuit, ready to be cut at any size; None where none lies.

        open_cut(store, circuit).circuit(Goal(k=96), minimal=False)

    ``task`` is one of one's own, where the circuit's is not among those that are known by name.
    """
    path = store.path_of_viz(circuit.model, circuit.task, circuit.sweep, circuit.k)
    nested = None if path is None else read_nested(path.parent)
    if nested is None:
        return None
    settings = nested.ranking.settings
    means, over = means_for(store, circuit), circuit.found.means_over
    subject = open_subject(
        circuit.model, task or circuit.task, settings, means=means, store=store, means_over=over
    )
    return Cut(subject, nested.ranking, cancel=cancel)


def keep(
    experiment: Experiment,
    store: Store,
    nested: Nested | None = None,
    task: Task | None = None,
    search: Iterable[SearchPoint] = (),
    observer: Observer = Observer(),  # noqa: B008  (frozen)
) -> Path:
    """Measure ``experiment`` and write its circuit's file into the user's folder.

    What the file stores is measured on the first pairs of the experiment's prompts. The file comes
    last, after ``nested`` circuits and the pairs of a ``task`` of one's own: where it is, the rest
    is. Raises NoSpace when the disk is full; with an observer of that and of ``cancel``, it tries
    again every few seconds instead, until there is room or ``cancel`` is set.
    """
    pairs = range(min(STORED_PAIRS, experiment.batch.n_pairs))
    fewer = dataclasses.replace(experiment, batch=experiment.batch.select(pairs))
    circuit = experiment.circuit
    windows = document_windows(experiment.model, open_tokenizer(store, circuit.model))
    stored = measure_stored(fewer, windows, search, observer.measured, observer.cancel)
    while True:
        try:
            return _write(stored, experiment.means, store, nested, task)
        except NoSpace as error:
            if observer.disk_full is None or observer.cancel is None:
                raise
            observer.disk_full(error)
            if observer.cancel.wait(PAUSE):
                raise Cancelled(f"stopped while there was no room: {error}") from error


def _write(
    stored: StoredCircuit, means: Means, store: Store, nested: Nested | None, task: Task | None
) -> Path:
    circuit = stored.circuit
    names = circuit.model, circuit.task, circuit.sweep, circuit.k
    with disk_errors(store.folder, paths.viz_name(*names)):
        folder = store.viz_folder(*names, {"found": circuit.found.to_dict()})
        if circuit.found.means_over is not None:
            write_means(means, folder / OWN_MEANS)
        else:
            (folder / OWN_MEANS).unlink(missing_ok=True)  # of a circuit that lay here
        if nested is not None:
            write_nested(nested, folder)
        if isinstance(task, OwnTask):
            pairs = pairs_as_jsonl(task.all_pairs).encode()
            write_atomically(folder / PAIRS, lambda file: file.write(pairs))
        return write_viz(stored, folder / paths.VIZ)


def document_windows(model: GPT, tokenizer: Tokenizer) -> Int[Tensor, "window pos"]:
    """Generated programs that no model was trained on, cut into windows of 128 tokens.

    Shorter ones where the model's context is shorter.
    """
    length = min(model.config.block_size, DOCUMENT_LENGTH)
    documents = generate_documents(DOCUMENT_SERIES, 10 * DOCUMENT_WINDOWS)
    return cut_windows(documents, tokenizer, length, DOCUMENT_WINDOWS)


def means_over_programs(model: GPT, tokenizer: Tokenizer) -> Means:
    """Reference means over generated programs, where a model comes with none."""
    return mean_activations(model, document_windows(model, tokenizer).split(MEANS_AT_ONCE))
