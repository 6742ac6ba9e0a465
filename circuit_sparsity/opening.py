"""From names to values: find the files of a circuit, read them, and lay it on the table."""


from circuit_sparsity.checkpoint import load_model
from circuit_sparsity.circuits.means import Means
from circuit_sparsity.experiment import Experiment
from circuit_sparsity.model import GPT
from circuit_sparsity.release import StoredCircuit, read_means, read_viz, task_batch
from circuit_sparsity.store import NotHere, Store
from circuit_sparsity.tasks import TASKS
from circuit_sparsity.tasks.task import Task, TaskBatch, encode, task_context
from circuit_sparsity.tokenizer import Tokenizer, load_tokenizer

TEST_PAIRS = 128
TEST_SEED = 0


def open_circuit(
    model: str, task: str, sweep: str, k: str, store: Store | None = None
) -> Experiment:
    """The circuit at those four names, with its model, means and prompts, ready to ablate.

    Prompts are the task's test split (128 pairs) for circuits found by this project, and the
    file's own samples for released ones. Raises ValueError when a name is unknown, a file is not
    on this machine or is damaged; the message says what to do.
    """
    store = store or Store.from_environment()
    stored = open_stored(store, model, task, sweep, k)
    return experiment_of(store, stored, open_model(store, model), open_means(store, model))


def open_stored(store: Store, model: str, task: str, sweep: str, k: str) -> StoredCircuit:
    """What the file of a circuit holds; needs no model."""
    path = store.path_of_viz(model, task, sweep, k)
    if path is None:
        raise NotHere(_unknown_circuit(store, model, task, sweep, k))
    return read_viz(path, model=model, task=task, sweep=sweep, k=k)


def open_model(store: Store, name: str) -> GPT:
    """The model of that name, frozen."""
    folder = store.path_of_model(name)
    if folder is None:
        known = sorted({row.model for row in store.models()})
        if name in known:
            raise NotHere(
                f"the model {name} is not on this machine; "
                f"download it with `python -m circuit_sparsity fetch {name}`"
            )
        raise NotHere(f"there is no model named {name!r}; there are: {', '.join(known)}")
    return load_model(folder)


def open_means(store: Store, model: str) -> Means:
    """The reference means of a model."""
    path = store.path_of_means(model)
    if path is None:
        raise NotHere(
            f"the reference means of {model} are not on this machine; "
            f"download them with `python -m circuit_sparsity fetch {model}`"
        )
    return read_means(path)


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


def experiment_of(store: Store, stored: StoredCircuit, model: GPT, means: Means) -> Experiment:
    """The stored circuit with a model, means, and the prompts that belong to it."""
    stored.circuit.masks(model.config)  # speaks up when the circuit is of another shape
    means.check(model.config)
    batch, name = _prompts(store, stored, model)
    return Experiment(stored.circuit, model, means, batch, name)


def test_batch(task: Task, tokenizer: Tokenizer, model: GPT, pairs: int = TEST_PAIRS) -> TaskBatch:
    """The prompts that everything of ours is measured on: never pruned on, seeded."""
    chosen = task.pairs("test", pairs, TEST_SEED)
    return encode(chosen, tokenizer, task_context(model.config.block_size))


def _prompts(store: Store, stored: StoredCircuit, model: GPT) -> tuple[TaskBatch, str]:
    circuit = stored.circuit
    tokenizer = open_tokenizer(store, circuit.model)
    if "circuit_sparsity" in circuit.found and circuit.task in TASKS:
        batch = test_batch(TASKS[circuit.task], tokenizer, model)
        return batch, f"{len(batch)} prompts of the test split, never pruned on"
    batch = task_batch(stored, _answers(store, stored, tokenizer))
    return batch, f"{len(batch)} prompts stored in the released file"


def _answers(store: Store, stored: StoredCircuit, tokenizer: Tokenizer) -> tuple[int, int]:
    raise NotHere(
        f"{stored.circuit.title}: the file does not say which tokens answer; give them"
    )


def _unknown_circuit(store: Store, model: str, task: str, sweep: str, k: str) -> str:
    rows = store.rows()
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


def _among(rows: list, part: str) -> str:
    chosen = {"model": "", "task": "of that model", "sweep": "of that task", "k": "of that sweep"}
    return f" {chosen[part]}" if chosen[part] else ""
