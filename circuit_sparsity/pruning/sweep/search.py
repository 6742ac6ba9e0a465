"""A matrix of cells: each is searched, its best circuit written, and skipped once it is done."""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from circuit_sparsity.pruning.find import TargetNotReached
from circuit_sparsity.pruning.request import carry_out
from circuit_sparsity.pruning.sweep.cell import Cell, Job, Tried
from circuit_sparsity.pruning.sweep.study import Study, open_study, tried_of
from circuit_sparsity.pruning.sweep.workers import Workers
from circuit_sparsity.store import Store, paths
from circuit_sparsity.store.atomic import write_atomically
from circuit_sparsity.store.download import disk_errors, lock_path

TRIALS = "trials.json"  # beside the circuit; written last, so it says that a cell is done
Say = Callable[[str], None]


@dataclass(frozen=True)
class Searched:
    """What a cell came to. Losses are in nats per sequence."""

    cell: Cell
    state: str  # "found" or "not reached", and whether that was "known" before
    known: bool
    trials: int
    nodes: int
    loss: float  # the larger of those on the evaluation and on the validation prompts
    folder: Path

    def to_dict(self) -> dict[str, Any]:
        request = self.cell.request
        return {
            **{"model": request.model, "task": request.task, "sweep": request.sweep},
            **{"k": self.cell.name, "asked_k": request.k, "asked_target": request.target},
            **{"state": self.state, "skipped": self.known, "trials": self.trials},
            **{"nodes": self.nodes, "loss": self.loss, "folder": str(self.folder)},
        }

    @property
    def line(self) -> str:
        if self.state == "found":
            told = f"{self.nodes} nodes, loss {self.loss:.4f} nats per sequence on prompts"
            told += " pruned on and validation prompts, the larger"
        else:
            told = f"not reached; the lowest loss was {self.loss:.4f} with {self.nodes} nodes"
        done = "already done, " if self.known else ""
        return f"{self.cell.title}: {done}{told}; best of {self.trials} trials"


def search_all(
    cells: Iterable[Cell], trials: int, workers: Workers[Job, Tried], store: Store, say: Say
) -> Iterator[Searched]:
    """Search each cell in turn. Whatever stops this, finished cells and trials are kept."""
    cells = tuple(cells)
    for number, cell in enumerate(cells, start=1):
        label = f"cell {number} of {len(cells)}, {cell.title}"
        yield search(cell, trials, workers, store, lambda text, at=label: say(f"{at}: {text}"))


def search(
    cell: Cell, trials: int, workers: Workers[Job, Tried], store: Store, say: Say
) -> Searched:
    """The best circuit of ``trials`` trials, written beside them; nothing is done twice.

    Raises ValueError for what a worker refuses, and OSError (StoreError) when workers die or the
    disk is full; the same call then goes on where it stopped.
    """
    names = (cell.request.model, cell.request.task, cell.request.sweep, cell.name)
    viz = paths.viz_name(*names)
    with disk_errors(store.folder, viz), _alone(store, viz, say):
        known = _known(cell, trials, (store.folder / viz).parent)
        if known is not None:
            return known
        folder = store.viz_folder(*names, {"search": "trials.json and study.db"})
        with open_study(folder, cell) as study:
            _try_all(study, trials, workers, say)
            return _finish(study, store, folder, say)


def _try_all(study: Study, trials: int, workers: Workers[Job, Tried], say: Say) -> None:
    done, running = len(study.finished), 0
    while done < trials:
        while running < min(workers.size, trials - done):
            number = study.ask()
            workers.submit(number, Job(study.cell, study.cell.settings(study.chosen(number))))
            running += 1
        number, tried = workers.next()
        study.tell(number, tried)
        done, running = done + 1, running - 1
        best = tried_of(study.best())
        reached = "" if best.reached else " (target not reached)"
        say(
            f"trial {done} of {trials}, best {best.nodes} nodes at {best.loss:.4f} nats per "
            f"sequence{reached}"
        )


def _finish(study: Study, store: Store, folder: Path, say: Say) -> Searched:
    """Prune once more with the best settings, measure, and write the circuit and the trials."""
    cell, best = study.cell, study.best()
    tried, table = tried_of(best), study.table()
    state = "found"
    request = replace(cell.request, settings=cell.settings(best.params), name=cell.name)
    if tried.reached:
        say("writing the best circuit")
        try:
            carry_out(request, store, search=study.curve())
        except TargetNotReached:  # on other hardware than this, it just was
            state = "not reached"
    else:
        state = "not reached"
    told = {
        "state": state,
        "trials": len(table),
        "nodes": tried.nodes,
        "loss": tried.loss,
        "best": [trial.number for trial in study.finished].index(best.number),
        "ranges": cell.ranges(),
        "curve": study.curve(),
        "table": table,
    }
    text = json.dumps(told, indent=1, allow_nan=False) + "\n"
    write_atomically(folder / TRIALS, lambda file: file.write(text.encode()))
    return Searched(cell, state, False, len(table), tried.nodes, tried.loss, folder)


def _known(cell: Cell, trials: int, folder: Path) -> Searched | None:
    """What an earlier command wrote, if it made as many trials and its circuit is still there."""
    path = folder / TRIALS
    if not path.is_file():
        return None
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        count, state = int(told["trials"]), str(told["state"])
        if count < trials or (state == "found" and not (folder / paths.VIZ).is_file()):
            return None
        return Searched(cell, state, True, count, int(told["nodes"]), float(told["loss"]), folder)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} holds no list of trials ({error}); delete it, and the same command writes it "
            "again from study.db"
        ) from error


@contextmanager
def _alone(store: Store, viz: str, say: Say) -> Iterator[None]:
    """One command at a time works on a cell; another waits, and then finds it done."""
    path = lock_path(store.folder, viz)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say("another command is searching this; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
