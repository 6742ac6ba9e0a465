"""From names to values: find the files of a circuit, read them, and lay it on the table."""

import math
import threading
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.circuits.means import Means
from circuit_sparsity.core.checkpoint import config_file, read_config
from circuit_sparsity.core.device import device_named
from circuit_sparsity.core.model import GPT
from circuit_sparsity.core.tokenizer import Tokenizer, load_tokenizer
from circuit_sparsity.experiment.answers import best_separating_pair, oriented, pair_of_losses
from circuit_sparsity.experiment.experiment import Experiment
from circuit_sparsity.release import ReleaseError, StoredCircuit, read_means, read_viz, task_batch
from circuit_sparsity.runtime.ablation import answer_logits
from circuit_sparsity.runtime.assemble import Engine
from circuit_sparsity.runtime.conversion import open_converted
from circuit_sparsity.store import NotHere, Row, Store, paths
from circuit_sparsity.store.progress import ProgressReport
from circuit_sparsity.tasks import TASKS
from circuit_sparsity.tasks.own import OwnTask, read_pairs
from circuit_sparsity.tasks.task import (
    Task,
    TaskBatch,
    encode,
    pairs_up_to,
    task_context,
    two_way_loss,
)

TEST_PAIRS = 128
TEST_SEED = 0
SAME_LOSS = 1e-5  # nats: a stored loss that is computed again is nearer
PAIRS = "pairs.jsonl"  # beside a circuit that was found for one's own pairs
OWN_MEANS = "own_means.pt"  # beside a circuit that is held at other means than its model's
KNOWN_ANSWERS = {  # of released tasks, as the paper describes them
    "single_double_quote": ("')", '")'),
    "bracket_counting": ("]\n", "]]\n"),
}


def open_circuit(
    model: str,
    task: str,
    sweep: str,
    k: str,
    store: Store | None = None,
    answers: tuple[str, str] | None = None,
    device: str = "cpu",
) -> Experiment:
    """The circuit at those four names, with its model, means and prompts, ready to ablate.

    Prompts are the task's test split (128 pairs) for circuits found by this project, and the
    file's own samples for released ones. Released files do not say which tokens answer: give
    ``answers`` (each the text of one token, or a token id; right for the first and for the second
    half of the samples), or the known or inferred ones are used and named in ``batch_name``.
    ``device`` is where the model runs: auto, cpu, cuda, cuda:N or mps.
    Raises ValueError when a name is unknown, a file is not on this machine or is damaged; the
    message says what to do.
    """
    device_named(device)  # speaks up before anything is read
    store = store or Store.from_environment()
    stored = open_stored(store, model, task, sweep, k)
    whole, means = open_model(store, model, device=device), means_for(store, stored.circuit)
    return experiment_of(store, stored, whole, means, answers)


def open_stored(store: Store, model: str, task: str, sweep: str, k: str) -> StoredCircuit:
    """What the file of a circuit holds; needs no model.

    A file without its model's configuration takes that of the model, where it is here.
    """
    model = paths.model_id(model)
    path = store.path_of_viz(model, task, sweep, k)
    if path is None:
        raise NotHere(_unknown_circuit(store, model, task, sweep, k))
    stored = read_viz(path, model=model, task=task, sweep=sweep, k=k)
    folder = store.path_of_model(model)
    if stored.model_config or folder is None:
        return stored
    return replace(stored, model_config=read_config(config_file(folder)).to_dict())


def open_model(
    store: Store,
    name: str,
    engine: Engine = "auto",
    progress: ProgressReport | None = None,
    cancel: threading.Event | None = None,
    device: str = "cpu",
) -> GPT:
    """The model of that name, frozen; dense where ``device`` is not the CPU.

    A large checkpoint is made compact the first time; ``progress`` is told how far that is.
    """
    name = paths.model_id(name)
    folder = store.path_of_model(name)
    if folder is None:
        known = [row.name for row in store.models()]
        if name in known:
            raise NotHere(
                f"the model {name} is not on this machine; "
                f"download it with `python -m circuit_sparsity fetch {name}`"
            )
        raise NotHere(f"there is no model named {name!r}; there are: {', '.join(known)}")
    place = device_named(device)
    if place.type == "cpu":
        return open_converted(folder, engine, progress, cancel)
    if engine == "sparse":
        raise ValueError(f'engine is "sparse", which computes on a CPU; leave it out with {device}')
    return open_converted(folder, "dense", progress, cancel).to(place)


def open_means(store: Store, model: str) -> Means:
    """The reference means of a model."""
    path = store.path_of_means(model)
    if path is None:
        raise NotHere(
            f"the reference means of {model} are not on this machine; {_way(store, model)}"
        )
    return read_means(path)


def means_for(store: Store, circuit: Circuit) -> Means:
    """What a circuit is held at: the means beside its file, or else its model's."""
    path = store.path_of_viz(circuit.model, circuit.task, circuit.sweep, circuit.k)
    if path is not None and (path.parent / OWN_MEANS).is_file():
        return read_means(path.parent / OWN_MEANS)
    return open_means(store, circuit.model)


def _way(store: Store, model: str) -> str:
    """How to come by the means of a model that has none here."""
    known = store.catalogue
    if known.origin == "listed" and paths.means_name(model) not in known.files:
        return (
            "the container lists none either, so nothing can be held at them yet: from Python, "
            "`circuit_sparsity.pruning.prune` with the model itself takes means over generated "
            "text, and "
            f"`python -m circuit_sparsity prune {model} TASK --means-over FILE` over yours"
        )
    return f"download them with `python -m circuit_sparsity fetch {model}`"


def open_tokenizer(store: Store, model: str) -> Tokenizer:
    """The tokenizer that the model was trained with."""
    folder = store.path_of_tokenizer(model)
    if folder is None:
        raise NotHere(
            f"the tokenizer of {model} (vocab.bpe and encoder.json) is not on this machine; "
            f"download it with `python -m circuit_sparsity fetch {model}`"
        )
    return load_tokenizer(folder)


def open_task(name: str) -> Task:
    """The generator of a task; ValueError names the known ones."""
    if name not in TASKS:
        raise ValueError(f"there is no task named {name!r}; there are: {', '.join(sorted(TASKS))}")
    return TASKS[name]


def experiment_of(
    store: Store,
    stored: StoredCircuit,
    model: GPT,
    means: Means,
    answers: tuple[str, str] | None = None,
) -> Experiment:
    """The stored circuit with a model, means, and the prompts that belong to it."""
    stored.circuit.masks(model.config)  # speaks up when the circuit is of another shape
    means.check(model.config)
    tokenizer = open_tokenizer(store, stored.circuit.model)
    task = task_of(store, stored.circuit)
    if task is not None and answers is None:
        return experiment_on_tests(stored.circuit, model, means, tokenizer, task)
    if not len(stored.task_samples.tokens):
        return _without_prompts(stored, model, means, tokenizer)
    tokens, how = stored_answers(stored, model, tokenizer, answers, means)
    batch = task_batch(stored, tokens).to(model.device)
    shown = " and ".join(repr(tokenizer.decode([token])) for token in tokens)
    name = f"{len(batch)} prompts stored in the file, answers {shown} ({how})"
    return Experiment(stored.circuit, model, means, batch, name, tokenizer)


def _without_prompts(
    stored: StoredCircuit, model: GPT, means: Means, tokenizer: Tokenizer
) -> Experiment:
    """A circuit whose file stores no prompts, on those generated for the task of its name."""
    task = TASKS.get(stored.circuit.task.removesuffix("_beeg"))
    if task is None:
        raise ReleaseError(
            f"{stored.title} stores no prompts, and {stored.circuit.task} is none of the tasks "
            f"that prompts can be generated for ({', '.join(sorted(TASKS))}); store them under "
            "importances, task_samples, or name the task's folder after one of these"
        )
    made = experiment_on_tests(stored.circuit, model, means, tokenizer, task)
    name = f"{len(made.batch)} generated prompts of {task.name}; the file stores none"
    return replace(made, batch_name=name)


def task_of(store: Store, circuit: Circuit) -> Task | None:
    """What this project found a stored circuit for: a known task, or the pairs beside its file.

    None for a circuit of others, whose prompts are those in its file.
    """
    if not circuit.found.is_ours:
        return None
    path = store.path_of_viz(circuit.model, circuit.task, circuit.sweep, circuit.k)
    if path is not None and (path.parent / PAIRS).is_file():
        return OwnTask(circuit.task, "Pairs of one's own.", read_pairs(path.parent / PAIRS))
    return TASKS.get(circuit.task)


def experiment_on_tests(
    circuit: Circuit, model: GPT, means: Means, tokenizer: Tokenizer, task: Task | None = None
) -> Experiment:
    """``circuit`` on the test split of its task: prompts that pruning never saw."""
    batch = batch_of_tests(task or open_task(circuit.task), tokenizer, model)
    name = f"{len(batch)} prompts of the test split, never pruned on"
    return Experiment(circuit, model, means, batch, name, tokenizer)


def batch_of_tests(
    task: Task, tokenizer: Tokenizer, model: GPT, pairs: int = TEST_PAIRS
) -> TaskBatch:
    """The prompts that everything of ours is measured on: never pruned on, seeded."""
    chosen = pairs_up_to(task, "test", pairs, TEST_SEED)
    return encode(chosen, tokenizer, task_context(model.config.block_size)).to(model.device)


def stored_answers(
    stored: StoredCircuit,
    model: GPT,
    tokenizer: Tokenizer,
    chosen: tuple[str, str] | None = None,
    means: Means | None = None,
) -> tuple[tuple[int, int], str]:
    """The two answer tokens of a released circuit's samples, and where they come from.

    ``chosen`` by hand, else ``known`` ones turned to fit the halves, else the pair that best
    separates the two halves under the model. Where known or separating ones do not give the losses
    that the file stores and another pair does, that pair is taken (for this ``means`` are needed).
    """
    if chosen is not None:
        first, second = (answer_token(text, tokenizer) for text in chosen)
        return (first, second), "chosen"
    batch = task_batch(stored, (0, 1)).to(model.device)
    with torch.no_grad():
        logits = answer_logits(model, batch.tokens, batch.last)
    known = KNOWN_ANSWERS.get(stored.circuit.task.removesuffix("_beeg"))
    tokens = [tokenizer.encode(text) for text in known or ()]
    if tokens and all(len(one) == 1 for one in tokens):
        pair, how = oriented(logits, (tokens[0][0], tokens[1][0])), "known"
    else:
        pair, how = best_separating_pair(logits), "inferred from the model"
    found = None if means is None else _by_losses(stored, model, means, logits, pair)
    return (pair, how) if found is None else (found, "the pair that gives the stored losses")


def _by_losses(
    stored: StoredCircuit,
    model: GPT,
    means: Means,
    logits: Float[Tensor, "prompt vocab"],
    pair: tuple[int, int],
) -> tuple[int, int] | None:
    """The pair that gives what the file stores; None where ``pair`` does, or none does."""
    if math.isnan(stored.model_loss) or math.isnan(stored.circuit_loss):
        return None
    batch = task_batch(stored, pair)
    loss = float(two_way_loss(logits, batch.right, batch.wrong).mean())
    if abs(loss - stored.model_loss) <= SAME_LOSS:
        return None
    alive = stored.circuit.masks(model.config)
    with torch.no_grad():
        masked = answer_logits(model, batch.tokens, batch.last, alive=alive, means=means)
    of_model, of_circuit = (logits, stored.model_loss), (masked, stored.circuit_loss)
    return pair_of_losses(of_model, of_circuit, SAME_LOSS)


def answer_token(text: str, tokenizer: Tokenizer) -> int:
    """The token that ``text`` names: a token id in digits, or the text of exactly one token.

    A backslash escape such as ``\\n`` may stand for its character.
    """
    if text.isdecimal():
        if int(text) >= tokenizer.n_vocab:
            raise ValueError(f"there is no token {text}; ids go from 0 to {tokenizer.n_vocab - 1}")
        return int(text)
    unescaped = text.replace("\\n", "\n").replace("\\t", "\t")
    tokens = tokenizer.encode(unescaped)
    if len(tokens) != 1:
        parts = [tokenizer.decode([token]) for token in tokens]
        raise ValueError(
            f"the answer {text!r} is {len(tokens)} tokens {parts}; expected the text of one "
            "token, or a token id"
        )
    return tokens[0]


def _unknown_circuit(store: Store, model: str, task: str, sweep: str, k: str) -> str:
    rows = store.rows()
    if all(row.model != model for row in rows) and model in [row.name for row in store.models()]:
        return (
            f"no circuits of the model {model} are known; `python -m circuit_sparsity list "
            "--refresh` asks the container again, and "
            f"`python -m circuit_sparsity prune {model} TASK` finds one, given its means"
        )
    for part, value in (("model", model), ("task", task), ("sweep", sweep), ("k", k)):
        known = sorted({getattr(row, part) for row in rows})
        if value not in known:
            return (
                f"there is no {part} {value!r} here{_among(rows, part)}; there are: "
                f"{', '.join(known) or 'none'}; `python -m circuit_sparsity list` shows all"
            )
        rows = [row for row in rows if getattr(row, part) == value]
    return (
        f"{model} · {task} · {sweep} · {k} is not on this machine; download it with "
        f"`python -m circuit_sparsity fetch {model} {task} {sweep} {k}`"
    )


def _among(rows: list[Row], part: str) -> str:
    chosen = {"model": "", "task": "of that model", "sweep": "of that task", "k": "of that sweep"}
    return f" {chosen[part]}" if chosen[part] else ""
