"""What every part of a circuit costs, measured here.

Small circuits are measured on every prompt. Of larger ones a quick estimate on fewer prompts comes
first, marked with a "≈"; a job in the background measures all prompts and takes its place.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import streamlit as st

from circuit_sparsity.experiment.experiment import Cancelled, Experiment, Part
from circuit_sparsity.plots.words import signed
from circuit_sparsity.runtime.compiled import Fill
from circuit_sparsity.ui.shell import cached
from circuit_sparsity.ui.shell.cached import LiveView
from circuit_sparsity.ui.shell.jobs import Job, Key, ReportProgress, begin, jobs, watch
from circuit_sparsity.ui.shell.messages import plain
from circuit_sparsity.ui.shell.shared import shared

_ALL_UP_TO = 192  # parts: so many are ablated on every prompt
_FEWEST_PAIRS = 8
KIND = "costs"  # of jobs
MOST_PARTS = 1200  # parts that are ablated without being asked to


@dataclass(frozen=True)
class Costs:
    """The rise of the mean task loss when each part alone is ablated, nats per sequence."""

    rises: Mapping[Part, float]
    prompts: int
    of: int  # prompts that there are

    @property
    def is_estimate(self) -> bool:
        """Whether fewer prompts were run than everything else on the page is measured on."""
        return self.prompts < self.of

    @property
    def on(self) -> str:
        """The prompts, in words; an estimate is marked.

        >>> Costs({}, 256, 256).on, Costs({}, 64, 256).on
        ('256 prompts', '≈ 64 prompts')
        """
        return f"{'≈ ' if self.is_estimate else ''}{self.prompts} prompts"


def costs_of_nodes(view: LiveView, fill: Fill) -> Costs:
    """Of every kept node; an estimate until all prompts are measured. Kept once measured."""
    job = jobs().find(_key(view, fill))
    if job is not None and job.state == "done":
        return job.result()
    return _costs(view, view.wiring.nodes, cached.identity(view), "nodes", fill)


def known_costs_of_nodes(view: LiveView, fill: Fill) -> Costs | None:
    """The same, or None of a circuit that is too large to be measured without being asked."""
    job = jobs().find(_key(view, fill))
    if view.circuit.size > MOST_PARTS and (job is None or job.state != "done"):
        return None
    return costs_of_nodes(view, fill)


def cost_alone(view: LiveView, part: Part, fill: Fill) -> float:
    """The rise of the loss when one part alone is ablated, on every prompt: never an estimate."""
    return _alone(view, part, cached.identity(view), str(part), fill)


@st.cache_data(max_entries=4096, show_spinner=False)
def _alone(_view: LiveView, _part: Part, identity: int, name: str, fill: Fill) -> float:
    return _view.experiment.ablate([_part], fill).delta


def measure_all(view: LiveView, fill: Fill) -> None:
    """Replace an estimate in the background: progress, a way to stop it, or a way to begin."""
    known = known_costs_of_nodes(view, fill)
    if known is not None and not known.is_estimate:
        return
    job = jobs().find(_key(view, fill))
    if job is None and known is not None:
        job = start(view, fill)
    if job is not None and job.active:
        watch([job], _progress)
        return
    if job is not None and job.error is not None and not isinstance(job.error, Cancelled):
        st.error(plain(str(job.error)), icon=":material/error:")
    label = "Measure what each node costs" if known is None else "Measure costs on all prompts"
    st.button(
        label,
        key="measure_costs",
        icon=":material/timer:",
        help="Ablates every node alone, in the background; then the graph takes its colours.",
        on_click=begin,
        args=(start, view, fill),
    )


def _key(view: LiveView, fill: Fill) -> Key:
    return KIND, view.choice, cached.identity(view), fill


def start(view: LiveView, fill: Fill) -> Job:
    """Measure every node on every prompt, in the background."""
    nodes, whole = view.wiring.nodes, view.experiment

    def work(report: ReportProgress, cancel: threading.Event) -> Costs:
        def progress(done: int, of: int) -> None:
            report((done, of))

        effects = whole.ablate_each(nodes, progress, cancel, fill)
        rises = {effect.parts[0]: effect.delta for effect in effects}
        return Costs(rises, len(whole.batch), len(whole.batch))

    return jobs().start(_key(view, fill), f"Costs of the nodes of {view.circuit.title}", work)


def _progress(job: Job) -> None:
    done, of = job.progress or (0, 1)
    st.progress(done / of, text=f"Costs on all prompts: {done:,} of {of:,} nodes")
    st.button(
        "Stopping …" if job.stopping else "Stop measuring",
        key="stop_costs",
        type="tertiary",
        disabled=job.stopping,
        on_click=job.stop,
    )


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
