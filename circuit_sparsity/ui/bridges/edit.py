"""An edit of the sparse model's nodes, live in both models: answers, curve, tokens."""

import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import streamlit as st

from circuit_sparsity.bridges.pair import Pair
from circuit_sparsity.bridges.runs import Addition
from circuit_sparsity.bridges.transfer import AtStrength, Carrier, NodeEdit, Shift, transfer
from circuit_sparsity.core.tokenizer import Tokenizer
from circuit_sparsity.experiment.experiment import Outcome
from circuit_sparsity.plots.bridges import EditPoint, transfer_figure
from circuit_sparsity.plots.colours import palette
from circuit_sparsity.plots.example import Answers, answers_html
from circuit_sparsity.plots.tokens import show_token
from circuit_sparsity.tasks.task import TaskBatch
from circuit_sparsity.ui.bridges import choice as choices
from circuit_sparsity.ui.bridges import save
from circuit_sparsity.ui.shell import cached, strips
from circuit_sparsity.ui.shell.address import bound
from circuit_sparsity.ui.shell.cached import LiveView
from circuit_sparsity.ui.shell.costs import RIGHT_HELP
from circuit_sparsity.ui.shell.fields import pair_field
from circuit_sparsity.ui.shell.jobs import Job, ReportProgress, jobs, watch
from circuit_sparsity.ui.shell.shared import shared
from circuit_sparsity.ui.shell.strips import Strip

KIND = "bridge controls"
_STRENGTH, _GAINS, _PAIR = "bridge_strength", "bridge_gains", "bridge_pair"
_PAIRS = 32  # of prompts that an edit is tried on
_STRENGTHS = tuple(i / 4 for i in range(9))
_DRAWS = 20
_GAINS_HELP = (
    "Off, as published: the change in what a block reads is carried over unchanged. On: the "
    "norms' gains turn it back into a change of the residual stream, so that exactly what "
    "changed in the "
    "sparse stream changes in the dense one."
)
_CONTROLS_HELP = (
    "The same edit carried by random other channels of the sparse model, and the real change in a "
    "randomly rotated space: equal norm at every token. A bridge that means something moves the "
    "answer where these do not."
)


@dataclass(frozen=True, eq=False)
class _Edited:
    """An edit on the page's prompts, ready to run at any strength."""

    carrier: Carrier
    shifts: tuple[Shift, ...]
    real: tuple[Addition, ...]
    sparse: Outcome  # without the edit
    dense: Outcome
    curve: tuple[EditPoint, ...]

    def at(self, strength: float) -> tuple[Outcome, Outcome]:
        """Sparse and dense model at that strength."""
        dense = self.carrier.dense.outcome(self.real, strength)
        return self.carrier.in_sparse(self.shifts, strength), dense


def section(view: LiveView, pair: Pair, tokenizer: Tokenizer) -> None:
    """Fields, answers before and after, the curve with its controls, and one prompt by token."""
    edits = choices.edits_of(view, pair)
    strength, gains = _strength_fields()
    if not edits:
        st.info("Choose a node to edit.", icon=":material/edit:")
        return
    found = _edited(view, pair, edits, gains)
    _answers(found, strength, pair)
    _curve(view, pair, edits, gains, strength, found)
    _tokens(found, strength, tokenizer)


def _strength_fields() -> tuple[float, bool]:
    slider, toggle = st.columns([0.7, 0.3], vertical_alignment="bottom")
    with slider:
        strength = st.slider(
            "Strength of the edit",
            0.0,
            2.0,
            1.0,
            0.05,
            key=_STRENGTH,
            help="0 is no edit, 1 the whole edit, 2 twice as much.",
        )
    with toggle:
        gains = st.toggle("Account for the norms' gains", help=_GAINS_HELP, **bound(_GAINS, False))
    return strength, gains


def _answers(found: _Edited, strength: float, pair: Pair) -> None:
    sparse, dense = found.at(strength)
    columns = st.columns(2)
    both = ((pair.sparse_name, found.sparse, sparse), (pair.dense_name, found.dense, dense))
    for column, title, (name, before, after) in zip(
        columns, ("Sparse model", "Dense model"), both, strict=True
    ):
        with column:
            st.metric(
                f"{title} `{name}`: p(right)",
                f"{before.p_right:.3f} → {after.p_right:.3f}",
                f"± {_error(after):.3f} (standard error), {after.accuracy:.0%} right",
                delta_color="off",
                delta_arrow="off",
                help=RIGHT_HELP,
            )
    st.caption(f"Mean over {len(sparse.losses)} prompts of the test split; 0.5 is a guess.")


def _error(outcome: Outcome) -> float:
    """Standard error of the mean probability of the right answer."""
    chances = (-outcome.losses).exp()
    return float(chances.std() / len(chances) ** 0.5)


def _curve(
    view: LiveView,
    pair: Pair,
    edits: Sequence[NodeEdit],
    gains: bool,
    strength: float,
    found: _Edited,
) -> None:
    st.markdown("##### By strength", help=_CONTROLS_HELP)
    job = _controls(view, pair, edits, gains)
    controls: Sequence[AtStrength] = job.result() if job.state == "done" else ()
    colours = palette(st.context.theme.type)
    st.plotly_chart(
        transfer_figure(found.curve, controls, strength, colours),
        key="bridge_curve",
        config={"displaylogo": False},
    )
    if job.active:
        watch([job], _running)
    elif job.error is not None and job.state == "failed":
        st.error(str(job.error), icon=":material/error:")
    measured = {
        "edit": choices.in_words(edits),
        "gains": gains,
        "prompts": len(found.sparse.losses),
        "curve": [asdict(point) for point in found.curve],
        "controls": [asdict(at) for at in controls],
    }
    with st.container(horizontal=True):
        save.as_json("bridge", pair, view, measured)
        text = choices.command(pair, view.choice, edits, gains)
        if text is not None:
            with st.popover("In a terminal", icon=":material/terminal:"):
                st.code(text, language="shell", wrap_lines=True)
                st.caption("On all test prompts; `--json` prints it for programs.")


def _running(job: Job) -> None:
    done, of = job.progress or (0, _DRAWS)
    st.progress(done / of, f"Random channels and directions: {done} of {of}")
    st.button("Cancel", key="cancel bridge controls", on_click=job.stop, icon=":material/close:")


def _controls(view: LiveView, pair: Pair, edits: Sequence[NodeEdit], gains: bool) -> Job:
    """The job that measures the band; one that this session no longer looks at is stopped."""
    name = (pair.sparse_name, pair.dense_name, cached.identity(view), str(edits), gains)
    key = (KIND, *name)
    before = st.session_state.get(KIND)
    if before not in (None, key) and (old := jobs().find(before)) is not None:
        old.stop()
    st.session_state[KIND] = key
    known = jobs().find(key)
    if known is not None and known.state in ("stopped", "failed") and before == key:
        return known
    batch, means = _prompts(view), view.experiment.means

    def work(report: ReportProgress, cancel: threading.Event) -> tuple[AtStrength, ...]:
        def went_on(done: int, of: int) -> None:
            report((done, of))

        return transfer(
            pair,
            batch,
            edits,
            (0.0, 0.5, 1.0, 1.5, 2.0),
            _DRAWS,
            means,
            gains=gains,
            progress=went_on,
            cancel=cancel,
        )

    return jobs().start(key, f"Controls of {choices.in_words(edits)}", work)


def _tokens(found: _Edited, strength: float, tokenizer: Tokenizer) -> None:
    """One prompt: both answers in four runs, and what changed on which token."""
    st.markdown("##### On one prompt")
    batch = found.carrier.batch
    row = pair_field(batch.n_pairs, _PAIR) - 1
    end = int(batch.last[row]) + 1
    tokens = batch.tokens[row, :end].tolist()
    sparse, dense = found.at(strength)
    runs = {
        "sparse": found.sparse,
        "sparse, edited": sparse,
        "dense": found.dense,
        "dense, edited": dense,
    }
    right, wrong = (
        show_token(tokenizer.token_bytes(int(x[row]))) for x in (batch.right, batch.wrong)
    )
    of_runs = {name: float((-one.losses[row]).exp()) for name, one in runs.items()}
    st.html(answers_html(Answers(right, wrong, of_runs), palette(st.context.theme.type)))
    in_sparse = [s.own.delta[row, :end].norm(dim=-1) * strength for s in found.shifts]
    in_dense = [a.delta[row, :end].norm(dim=-1) * strength for a in found.real]
    shown = [
        Strip(f"{name} model, length of what is added at {place}", tokens, norm.tolist())
        for name, places, norms in (
            ("Sparse", [s.own.hook_name for s in found.shifts], in_sparse),
            ("Dense", [a.hook_name for a in found.real], in_dense),
        )
        for place, norm in zip(places, norms, strict=True)
    ]
    strips.draw(shown, tokenizer, unit="length of the change", is_signed=False)
    strips.numbers(shown, tokenizer)


def _prompts(view: LiveView) -> TaskBatch:
    batch = view.experiment.batch
    return batch.select(range(min(_PAIRS, batch.n_pairs)))


def _edited(view: LiveView, pair: Pair, edits: Sequence[NodeEdit], gains: bool) -> _Edited:
    key = (cached.identity(view), pair.dense_name, gains)
    return _prepared(_carrier(view, pair, key), edits, view, (*key, str(edits)))


@shared("Running both models …")
def _carrier(_view: LiveView, _pair: Pair, key: tuple[int, str, bool]) -> Carrier:
    return Carrier(_pair, _prompts(_view), key[2])


@shared("Carrying the edit over …")
def _prepared(
    _carrier: Carrier, _edits: Sequence[NodeEdit], _view: LiveView, key: tuple[object, ...]
) -> _Edited:
    shifts = _carrier.shifts(_edits, _view.experiment.means)
    real = _carrier.additions(shifts)
    curve = tuple(
        EditPoint(
            strength,
            _carrier.in_sparse(shifts, strength).p_right,
            _carrier.dense.outcome(real, strength).p_right,
        )
        for strength in _STRENGTHS
    )
    ends = _carrier.sparse.outcome(), _carrier.dense.outcome()
    return _Edited(_carrier, shifts, real, *ends, curve)
