"""The tries of one cell on disk: an Optuna study in a SQLite file beside the circuit."""

import dataclasses
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from circuit_sparsity.pruning.sweep.cell import SEARCHED, Cell, Tried
from circuit_sparsity.release.values import RUNS_AN_ITERATION, SearchPoint
from circuit_sparsity.store.atomic import take_name

STUDY = "study.db"
_PATIENCE = 60  # seconds to wait for another process that writes the same file
_DRAW = "draw"  # which draw of the sampler a trial is; it decides the sampler's seed
_TRIED = "tried"


class Study:
    """Which settings to try next, what came of those tried, and the best of them.

    Only the process that asks for a cell opens its study; workers never do.
    """

    def __init__(self, cell: Cell, study: optuna.Study) -> None:
        self.cell, self._study = cell, study
        self._running: dict[int, optuna.Trial] = {}

    def ask(self) -> int:
        """The number of a new trial; ``cell.settings(chosen(number))`` is what it tries.

        The sampler is seeded for each draw, so a search that was stopped goes on as it would
        have. The first draw is the preset itself.
        """
        live = self._study.get_trials(deepcopy=False, states=_LIVE)
        drawn = {trial.user_attrs.get(_DRAW) for trial in live}
        draw = next(n for n in range(len(live) + 1) if n not in drawn)
        seed = self.cell.request.settings.seed * 1_000_003 + draw
        self._study.sampler = TPESampler(seed=seed % 2**32, constant_liar=True)
        waiting = self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        if draw == 0 and not waiting:
            centre = {name: getattr(self.cell.request.settings, name) for name in SEARCHED}
            self._study.enqueue_trial(centre)
        trial = self._study.ask()
        trial.set_user_attr(_DRAW, draw)
        for name, (low, high) in self.cell.ranges().items():
            trial.suggest_float(name, low, high, log=True)
        self._running[trial.number] = trial
        return trial.number

    def chosen(self, number: int) -> dict[str, float]:
        return dict(self._running[number].params)

    def tell(self, number: int, tried: Tried) -> None:
        trial = self._running.pop(number)
        trial.set_user_attr(_TRIED, dataclasses.asdict(tried))
        self._study.tell(trial, tried.value)

    @property
    def finished(self) -> tuple[FrozenTrial, ...]:
        """In the order in which they were drawn."""
        done = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return tuple(sorted(done, key=lambda trial: trial.user_attrs[_DRAW]))

    def best(self, among: int | None = None) -> FrozenTrial:
        """The finished trial of the lowest value, the earliest of equal ones."""
        return min(self.finished[:among], key=_value)

    def curve(self) -> tuple[SearchPoint, ...]:
        """The loss of the best trial after each eight, as the released files keep it.

        With a target, the best is the one of fewest nodes, and its loss need not fall.
        """
        done = len(self.finished)
        ends = [*range(RUNS_AN_ITERATION, done, RUNS_AN_ITERATION), done]
        return tuple(
            SearchPoint(iteration, tried_of(self.best(end)).loss)
            for iteration, end in enumerate(ends)
        )

    def table(self) -> list[dict[str, Any]]:
        """Every finished trial with its settings, as JSON values."""
        return [
            {
                "number": number,
                "settings": self.cell.settings(trial.params).to_dict(),
                **trial.user_attrs[_TRIED],
                "seconds": trial.duration.total_seconds() if trial.duration else None,
            }
            for number, trial in enumerate(self.finished)
        ]


_LIVE = (TrialState.COMPLETE, TrialState.RUNNING)


def tried_of(trial: FrozenTrial) -> Tried:
    return Tried(**trial.user_attrs[_TRIED])


def _value(trial: FrozenTrial) -> float:
    return tried_of(trial).value


@contextmanager
def open_study(folder: Path, cell: Cell) -> Iterator[Study]:
    """The study of a cell, new or as it was left; trials that were cut off are drawn again.

    Raises OSError when the file cannot be read or written.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path = folder / STUDY
    try:
        if not path.exists():
            _make(path, cell)
        storage = _storage(path)
        try:
            study = optuna.load_study(study_name=cell.name, storage=storage)
            for trial in study.get_trials(states=(TrialState.RUNNING,)):
                study.tell(trial.number, state=TrialState.FAIL)
            yield Study(cell, study)
        finally:
            _close(storage)
    except (StorageInternalError, SQLAlchemyError) as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise OSError(
            f"{path} cannot be read or written ({reason}). Make room on the "
            "disk if it is full and give the same command again: it goes on with the trials "
            "that are there. If the file is damaged, delete it, and the search begins anew"
        ) from error


def _make(path: Path, cell: Cell) -> None:
    """An empty study under its name only when it is whole: its tables take many writes."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        storage = _storage(draft)
        optuna.create_study(study_name=cell.name, storage=storage, direction="minimize")
        _close(storage)
        take_name(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _storage(path: Path) -> RDBStorage:
    options = {"connect_args": {"timeout": _PATIENCE}}
    return RDBStorage(f"sqlite:///{path}", engine_kwargs=options)


def _close(storage: RDBStorage) -> None:
    storage.remove_session()
    storage.engine.dispose()
