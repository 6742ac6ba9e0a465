"""What every part of a circuit costs, measured here, on as many prompts as a moment allows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import streamlit as st

from circuit_sparsity.experiment.experiment import Experiment, Part
from circuit_sparsity.runtime.compiled import Fill
from circuit_sparsity.ui.shell import cached
from circuit_sparsity.ui.shell.cached import Scene

_ALL_UP_TO = 192  # parts: so many are ablated on every prompt
_FEWEST_PAIRS = 8
MOST = 1200  # parts that are ablated without being asked to


@dataclass(frozen=True)
class Costs:
    """The rise of the mean task loss when each part alone is ablated, nats per sequence."""

    rises: Mapping[Part, float]
    prompts: int
    of: int  # prompts that there are

    @property
    def on(self) -> str:
        """The prompts, in words."""
        return f"{self.prompts} prompts" if self.prompts == self.of else f"{self.prompts} of them"


def of_nodes(scene: Scene, fill: Fill) -> Costs:
    """Of every kept node. Kept once measured."""
    return _costs(scene, scene.wiring.nodes, cached.identity(scene), "nodes", fill)


def of_edges(scene: Scene, fill: Fill) -> Costs:
    """Of every edge. Kept once measured."""
    return _costs(scene, scene.wiring.edges, cached.identity(scene), "edges", fill)


def pairs_for(parts: int, pairs: int) -> int:
    """How many pairs of prompts so many parts are ablated on.

    Each further part is one more run, and runs of larger circuits take longer.

    >>> pairs_for(44, 128), pairs_for(256, 128), pairs_for(512, 128), pairs_for(5000, 8)
    (128, 83, 29, 8)
    """
    if parts <= _ALL_UP_TO:
        return pairs
    return min(pairs, max(_FEWEST_PAIRS, int(pairs * (_ALL_UP_TO / parts) ** 1.5)))


@st.cache_resource(max_entries=64, show_spinner="Switching off one after the other …")
def _costs(_scene: Scene, _parts: Sequence[Part], identity: int, kind: str, fill: Fill) -> Costs:
    whole = _scene.experiment
    pairs = pairs_for(len(_parts), whole.batch.n_pairs)
    some = whole if pairs == whole.batch.n_pairs else _on(whole, pairs)
    effects = some.ablate_each(_parts, fill=fill)
    rises = {effect.parts[0]: effect.delta for effect in effects}
    return Costs(rises, len(some.batch), len(whole.batch))


def _on(whole: Experiment, pairs: int) -> Experiment:
    return replace(whole, batch=whole.batch.select(range(pairs)))
