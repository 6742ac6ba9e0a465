"""Every size from one run: a slider over k, the loss at each, and a circuit to open."""

import threading
from dataclasses import dataclass

import streamlit as st

from circuit_sparsity.circuits.circuit import Circuit
from circuit_sparsity.experiment.experiment import Experiment
from circuit_sparsity.experiment.opening import batch_of_tests, open_stored, open_tokenizer, task_of
from circuit_sparsity.plots.colours import palette
from circuit_sparsity.plots.curves import Axis, Line, line_figure
from circuit_sparsity.pruning.answers import Evaluation
from circuit_sparsity.pruning.find import Cut
from circuit_sparsity.pruning.minimality import MOST
from circuit_sparsity.pruning.ranking import NESTED, Nested, read_nested
from circuit_sparsity.pruning.request import open_cut
from circuit_sparsity.pruning.settings import Goal
from circuit_sparsity.pruning.size import log_grid
from circuit_sparsity.store import Store
from circuit_sparsity.tasks.own import OwnTask
from circuit_sparsity.tasks.task import CHANCE_LOSS
from circuit_sparsity.ui.prune import jobs as prune_jobs
from circuit_sparsity.ui.prune import progress
from circuit_sparsity.ui.shell import cached, pickers
from circuit_sparsity.ui.shell.address import write
from circuit_sparsity.ui.shell.cached import Stamp
from circuit_sparsity.ui.shell.fields import pressed
from circuit_sparsity.ui.shell.messages import plain
from circuit_sparsity.ui.shell.pickers import Choice
from circuit_sparsity.ui.shell.shared import shared

_K, _SLIDER, _CHART, _RUN = "sizes_k", "sizes_slider", "sizes_curve", "sizes_run"
_PER_OCTAVE = 6  # stops of the slider


@dataclass(frozen=True, eq=False)
class Run:
    """A stored run, ready to be cut. ``lock`` guards the losses that ``cut`` gathers."""

    cut: Cut
    nested: Nested
    experiment: Experiment  # the run's own circuit on test prompts
    tests: Evaluation  # those prompts
    task: OwnTask | None
    lock: threading.Lock

    def parts(self) -> tuple[Cut, Nested, Experiment, OwnTask | None]:
        return self.cut, self.nested, self.experiment, self.task


@dataclass(frozen=True, eq=False)
class AtSize:
    """The k best nodes that are live together, and what they do. Nats per sequence."""

    circuit: Circuit
    loss: float  # the larger of evaluation and validation prompts
    test_loss: float


def section(model: str) -> None:
    """The whole section: which run, slider, curve, numbers, and what to do with the circuit."""
    st.subheader(
        "Any size from one run",
        help="A run ranks all nodes once. The circuit of k nodes is the k best that are live "
        "together, so the circuits of all sizes are nested.",
    )
    known = _runs(model)
    if not known:
        st.info(
            f"No run of {plain(model)} is stored here yet. After a pruning, a slider here offers "
            "its circuits of every size; shipped and downloaded files hold single circuits only.",
            icon=":material/tune:",
        )
        return
    choice = _run_field(known)
    run = _run(choice)
    left, right = st.columns([0.42, 0.58], gap="medium")
    with left:
        k = _size_field(run)
        found = _at(run, choice, _stamps(choice), k)
        _numbers(run, found)
        _buttons(choice, run, k)
        progress.cards_of_sizes()
    with right:
        _curve(run, found)


def _run_field(known: list[Choice]) -> Choice:
    """Which run: at first the one that the address says, or the one most like the sidebar's."""
    names = [" · ".join(one[1:]) for one in known]
    if st.session_state.get(_RUN) not in names:
        asked, current = st.query_params.get(_RUN), pickers.chosen() or known[-1]
        likest = max(known, key=lambda one: (one == current, one.task == current.task))
        st.session_state[_RUN] = asked if asked in names else " · ".join(likest[1:])
    name = st.selectbox(
        "Run", names, key=_RUN, help="Runs whose ranking is stored beside their circuit."
    )
    write(_RUN, name)
    return known[names.index(name)]


def _runs(model: str) -> list[Choice]:
    """Circuits of the model whose run is stored, in the sidebar's order."""
    store, found = Store.from_environment(), []
    for row in store.rows():
        if row.model == model and row.where != "remote":
            path = store.path_of_viz(row.model, row.task, row.sweep, row.k)
            if path is not None and (path.parent / NESTED).is_file():
                found.append(Choice(row.model, row.task, row.sweep, row.k))
    return found


def _stamps(choice: Choice) -> tuple[Stamp, ...]:
    store = Store.from_environment()
    path = store.path_of_viz(*choice)
    ranking = None if path is None else path.parent / NESTED
    return cached.stamp(path), cached.stamp(ranking), cached.stamp(store.path_of_model(choice[0]))


def _run(choice: Choice) -> Run:
    return _opened(choice, _stamps(choice))


@shared("Opening the run …")
def _opened(choice: Choice, stamps: tuple[Stamp, ...]) -> Run:
    store = Store.from_environment()
    circuit = open_stored(store, *choice).circuit
    task = task_of(store, circuit)
    cut = open_cut(store, circuit, task)
    path = store.path_of_viz(*choice)
    nested = None if path is None else read_nested(path.parent)
    if cut is None or nested is None or task is None:
        raise ValueError(f"the run of {circuit.title} is not here any more; prune again")
    subject = cut.subject
    batch = batch_of_tests(task, open_tokenizer(store, choice.model), subject.model)
    name = f"{len(batch)} prompts of the test split, never pruned on"
    experiment = Experiment(circuit, subject.model, subject.means, batch, name)
    own = task if isinstance(task, OwnTask) else None
    return Run(cut, nested, experiment, Evaluation(subject, batch), own, threading.Lock())


@shared("Cutting the run at this size …")
def _at(_run: Run, choice: Choice, stamps: tuple[Stamp, ...], k: int) -> AtSize:
    with _run.lock:
        circuit = _run.cut.circuit(Goal(k=k), minimal=False)
    deciding = circuit.found.worst_loss
    assert deciding is not None, "a circuit cut here tells its losses"
    subject = _run.cut.subject
    kept = subject.layout.join(circuit.masks(subject.model.config))
    return AtSize(circuit, deciding, _run.tests.loss(kept))


def _size_field(run: Run) -> int:
    """The slider, in even steps of the logarithm, and a field for any number; they agree."""
    total = run.cut.subject.layout.size
    first = min(run.experiment.circuit.size, total) or 1
    k = min(st.session_state.get(_K) or _asked() or first, total)
    st.session_state[_K] = st.session_state[_SLIDER] = k
    write(_K, str(k))
    stops = sorted({*log_grid(total, _PER_OCTAVE), k})
    st.select_slider(
        "k, the number of nodes",
        stops,
        key=_SLIDER,
        format_func=lambda stop: f"{stop:,}",
        on_change=_take,
        args=(_SLIDER,),
    )
    return st.number_input("Exactly", 1, total, key=_K, help=f"Of {total:,} nodes.")


def _asked() -> int | None:
    """The size that the address says."""
    text = st.query_params.get(_K, "")
    return int(text) if text.isdecimal() and int(text) > 0 else None


def _take(source: str) -> None:
    st.session_state[_K] = st.session_state[source]


def _take_point() -> None:
    points = st.session_state[_CHART]["selection"]["points"]
    if points:
        st.session_state[_K] = int(points[0]["customdata"])


def _numbers(run: Run, found: AtSize) -> None:
    experiment = run.experiment
    left, right = st.columns(2)
    left.metric(
        "Loss, test prompts",
        f"{found.test_loss:.4f}",
        help=f"Live, nats per sequence, on {experiment.batch_name}; everything else mean-ablated. "
        f"The whole model has {experiment.of_model.loss:.4f}; chance is {CHANCE_LOSS:.3f}.",
    )
    right.metric(
        "Loss, size-choosing prompts",
        f"{found.loss:.4f}",
        help="Live, nats per sequence: the larger of evaluation and validation prompts, on which "
        "the curve is measured and the number of nodes is chosen.",
    )
    st.caption(
        f"{found.circuit.size:,} nodes, live, in nats per sequence. The whole model: "
        f"{experiment.of_model.loss:.4f} on the test prompts; chance {CHANCE_LOSS:.3f}."
    )


def _buttons(choice: Choice, run: Run, k: int) -> None:
    store = Store.from_environment()
    with st.container(horizontal=True):
        if pressed(
            f"Keep the {k:,} nodes",
            "keep_cut",
            icon=":material/content_cut:",
            type="primary",
            meaning="Measures what a circuit's file holds, and stores it. Then a "
            "button below opens it.",
        ):
            prune_jobs.cut(store, choice, k, False, run.parts)
            st.rerun()
        if pressed(
            "Refine at this k",
            "refine_cut",
            icon=":material/auto_fix_high:",
            disabled=k > MOST,
            meaning="Starts from more nodes and removes one by one down to k: a lower loss at the "
            f"same size. Takes a while; up to {MOST} nodes.",
        ):
            prune_jobs.cut(store, choice, k, True, run.parts)
            st.rerun()


def _curve(run: Run, found: AtSize) -> None:
    points = [(k, loss) for k, loss in run.nested.curve if k > 0]
    sizes, losses = [k for k, _ in points], [loss for _, loss in points]
    here = found.circuit.size
    st.plotly_chart(
        line_figure(
            [
                Line("stored with the run", sizes, losses, [str(k) for k in sizes]),
                Line("chosen, live", [here], [found.loss], [str(here)]),
            ],
            Axis("nodes kept", log=True),
            Axis("loss, nats per sequence"),
            palette(st.context.theme.type),
            {"chance": CHANCE_LOSS},
            height=330,
            clickable=True,
        ),
        key=_CHART,
        on_select=_take_point,
        selection_mode="points",
        config={"displaylogo": False},
        alt="Loss of the run's nested circuits over their number of nodes",
    )
    st.caption(
        "The larger loss of evaluation and validation prompts, everything else mean-ablated, "
        "nothing refined. **Click a point** to go to that k."
    )
