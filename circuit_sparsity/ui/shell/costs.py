"""What every part of a circuit costs, measured here, on as many prompts as a moment allows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import streamlit as st

from circuit_sparsity.experiment.experiment import Experiment, Part
from circuit_sparsity.plots.words import signed
from circuit_sparsity.runtime.compiled import Fill
from circuit_sparsity.ui.shell import cached
from circuit_sparsity.ui.shell.cached import LiveView
from circuit_sparsity.ui.shell.shared import shared

_ALL_UP_TO = 192  # parts: so many are ablated on every prompt
_FEWEST_PAIRS = 8
MOST_PARTS = 1200  # parts that are ablated without being asked to


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


def costs_of_nodes(view: LiveView, fill: Fill) -> Costs:
    """Of every kept node. Kept once measured."""
    return _costs(view, view.wiring.nodes, cached.identity(view), "nodes", fill)


def costs_of_edges(view: LiveView, fill: Fill) -> Costs:
    """Of every edge. Kept once measured."""
    return _costs(view, view.wiring.edges, cached.identity(view), "edges", fill)


def pairs_for(parts: int, pairs: int) -> int:
    """How many pairs of prompts so many parts are ablated on.

    Each further part is one more run, and runs of larger circuits take longer.

    >>> pairs_for(44, 128), pairs_for(256, 128), pairs_for(512, 128), pairs_for(5000, 8)
    (128, 83, 29, 8)
    """
    if parts <= _ALL_UP_TO:
        return pairs
    return min(pairs, max(_FEWEST_PAIRS, int(pairs * (_ALL_UP_TO / parts) ** 1.5)))


@shared("Switching off one after the other …")
def _costs(_view: LiveView, _parts: Sequence[Part], identity: int, kind: str, fill: Fill) -> Costs:
    whole = _view.experiment
    pairs = pairs_for(len(_parts), whole.batch.n_pairs)
    some = whole if pairs == whole.batch.n_pairs else _on(whole, pairs)
    effects = some.ablate_each(_parts, fill=fill)
    rises = {effect.parts[0]: effect.delta for effect in effects}
    return Costs(rises, len(some.batch), len(whole.batch))


def _on(whole: Experiment, pairs: int) -> Experiment:
    return replace(whole, batch=whole.batch.select(range(pairs)))


LOSS_HELP = (
    "Cross-entropy over just the two answer tokens at the last position, in nats per sequence, "
    "mean over the prompts. 0.693 (ln 2) is chance."
)


RIGHT_HELP = (
    "Probability of the right answer against the wrong one (the two sum to 1), mean over the "
    "prompts. 0.5 is chance."
)


def number(label: str, value: float, of_model: float, meaning: str) -> None:
    st.metric(
        label,
        f"{value:.4f}",
        f"model {of_model:.4f}",
        delta_color="off",
        delta_arrow="off",
        width="content",
        help=meaning,
    )


def change(label: str, before: float, after: float, meaning: str, rise_is_worse: bool) -> None:
    """A number, how far it is from its baseline, and by its colour whether that is worse."""
    moved_by = signed(after - before, 4)
    moved = moved_by[0] in "+\N{MINUS SIGN}"
    worse = (after > before) == rise_is_worse
    st.metric(
        label,
        f"{after:.4f}",
        f"{moved_by} from {before:.4f}",
        delta_color="off" if not moved else "orange" if worse else "blue",
        delta_arrow="off",
        width="content",
        help=meaning,
    )
