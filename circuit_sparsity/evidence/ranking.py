"""What orders a circuit's nodes for the curves, and how the circuit was found."""

import threading

from circuit_sparsity.experiment import Experiment
from circuit_sparsity.pruning.attribution import attribute
from circuit_sparsity.pruning.nested import read_nested
from circuit_sparsity.pruning.ranking import Ranking
from circuit_sparsity.pruning.settings import QUICK, PruneSettings
from circuit_sparsity.pruning.subject import Subject
from circuit_sparsity.store import Store


def ranking_of(
    store: Store, it: Experiment, cancel: threading.Event | None = None
) -> tuple[Ranking, str]:
    """The run's own ranking, or one by attribution where none is stored; and which, in words."""
    names = it.circuit.model, it.circuit.task, it.circuit.sweep, it.circuit.k
    path = store.path_of_viz(*names)
    nested = None if path is None else read_nested(path.parent)
    if nested is not None:
        return nested.ranking, "the run that found the circuit"
    subject = Subject(it.model, it.means, it.batch, it.batch, names[0], names[1])
    return attribute(subject, QUICK, cancel), "attribution on the same prompts"


def settings_of(it: Experiment) -> PruneSettings:
    """Those that found the circuit; the usual ones where it does not say."""
    found = it.circuit.found.get("settings")
    return PruneSettings() if found is None else PruneSettings.from_dict(found)
