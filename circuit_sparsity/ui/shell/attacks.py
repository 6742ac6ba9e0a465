"""Attacks on the circuit that is shown: a curve as a job, and a prompt of one's own."""

import threading
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from circuit_sparsity.experiment.experiment import Cancelled
from circuit_sparsity.explained.attack import ATTACKS, PAIRS, Attack, Strength, attack_curve
from circuit_sparsity.nodes.next_token import next_token
from circuit_sparsity.plots.colours import palette
from circuit_sparsity.plots.curves import attack_figure
from circuit_sparsity.plots.tokens import show_token
from circuit_sparsity.store import Store
from circuit_sparsity.tasks.task import encode, task_context
from circuit_sparsity.ui.shell import cached
from circuit_sparsity.ui.shell.cached import LiveView
from circuit_sparsity.ui.shell.fields import among, pressed
from circuit_sparsity.ui.shell.jobs import Job, ReportProgress, jobs, watch
from circuit_sparsity.ui.shell.messages import in_place, plain

KIND = "attack"
_WHICH, _TEXT, _STOP = "attack", "attack_text", "stop attack"


def of_task(task: str) -> tuple[Attack, ...]:
    """The attacks on circuits of a task, released or found here."""
    return tuple(one for one in ATTACKS.values() if one.task == task.removesuffix("_beeg"))


def section(view: LiveView) -> None:
    """Everything on attacks; nothing at all for a task without one."""
    known = of_task(view.circuit.task)
    if not known:
        return
    st.subheader(
        "Attacks",
        help="Prompts that get harder for the mechanism while the question stays the same. If the "
        "circuit explains the model, both fail in the same places.",
    )
    attack = _chosen(known)
    st.markdown(plain(attack.summary))
    left, right = st.columns([0.58, 0.42], gap="medium")
    with left, in_place():
        _curve(view, attack)
    with right, in_place():
        _own(view, attack)


def start(view: LiveView, attack: Attack) -> Job:
    """The job that measures a curve; the same circuit and attack share one."""
    tokenizer = cached.tokenizer(view.choice.model)

    def work(report: ReportProgress, cancel: threading.Event) -> tuple[Strength, ...]:
        def told(done: int, of: int) -> None:
            report((done, of))

        return attack_curve(view.experiment, tokenizer, attack, progress=told, cancel=cancel)

    return jobs().start(_key(view, attack), f"{attack.name} on {view.circuit.title}", work)


def _key(view: LiveView, attack: Attack) -> tuple[object, ...]:
    return KIND, Store.from_environment(), view.choice, cached.identity(view), attack.name


def _chosen(known: Sequence[Attack]) -> Attack:
    if len(known) == 1:
        return known[0]
    return ATTACKS[among("Attack", [one.name for one in known], _WHICH)]


def _curve(view: LiveView, attack: Attack) -> None:
    job = jobs().find(_key(view, attack))
    if job is not None and job.active:
        watch([job], _running)
        return
    if job is not None and job.state == "done":
        _measured(attack, job.result())
        return
    if job is not None and not isinstance(job.error, Cancelled):
        st.error(plain(str(job.error)), icon=":material/error:")
    elif job is not None:
        st.info("Stopped. Nothing was kept.", icon=":material/pause_circle:")
    if pressed(
        "Run the attack",
        "run attack",
        type="primary",
        icon=":material/swords:",
        meaning=f"Model and circuit answer {2 * PAIRS} new prompts at each of up to "
        f"{len(attack.strengths)} strengths, which takes a few seconds.",
    ):
        start(view, attack)
        st.rerun()


def _running(job: Job) -> None:
    done, of = job.progress or (0, 0)
    with st.container(border=True):
        text = f"Measured strength {done} of {of}" if of else "Starting"
        st.progress(done / of if of else 0.0, text=text)
        st.button(
            "Stopping …" if job.stopping else "Cancel",
            key=_STOP,
            icon=":material/stop_circle:",
            disabled=job.stopping,
            on_click=job.stop,
        )


def _measured(attack: Attack, curve: Sequence[Strength]) -> None:
    if not curve:
        st.info("Even the mildest prompts are too long for this model.", icon=":material/info:")
        return
    figure = attack_figure(attack, curve, palette(st.context.theme.type))
    st.plotly_chart(figure, key="attack_curve", config={"displayModeBar": False})
    st.caption(
        f"Live: {curve[0].prompts} new prompts at each strength, with names and words that no "
        "generated training program holds. Mean probability of the right answer against the wrong "
        "one; 0.5 is chance."
    )
    st.markdown(plain(in_words(attack, curve)))
    with st.expander("As a table", icon=":material/table:"):
        st.dataframe(_table(attack, curve), hide_index=True)


def in_words(attack: Attack, curve: Sequence[Strength]) -> str:
    """Where the model is weakest, and what the circuit says there."""
    at, side = min(
        ((point, side) for point in curve for side in ("positive", "negative")),
        key=lambda pair: getattr(pair[0].model, pair[1]),
    )
    named = attack.classes[side == "negative"]
    model, circuit = getattr(at.model, side), getattr(at.circuit, side)
    led = "is led astray" if model < 0.5 else "holds"
    same = (model < 0.5) == (circuit < 0.5)
    verdict = "does the same" if same else "does not, so it does not explain the model there"
    return (
        f"The model is weakest at {at.strength} {attack.strength}, where the answer is {named}: "
        f"p {model:.2f}, it {led}. The circuit gives {circuit:.2f} and {verdict}."
    )


def _table(attack: Attack, curve: Sequence[Strength]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            attack.strength: [point.strength for point in curve],
            **{
                f"{who}, {named}": [round(getattr(getattr(p, who), side), 4) for p in curve]
                for side, named in zip(("positive", "negative"), attack.classes, strict=True)
                for who in ("model", "circuit")
            },
        }
    )


def _own(view: LiveView, attack: Attack) -> None:
    """A text field, and what model and circuit say of its two answers."""
    experiment, tokenizer = view.experiment, cached.tokenizer(view.choice.model)
    context = task_context(experiment.model.config.block_size)
    example = attack.pairs(attack.strengths[1], 1, 0)
    answers = encode(example, tokenizer, context)
    text = st.text_area(
        "Try your own",
        value=example[0].positive.text,
        key=f"{_TEXT} {attack.name}",
        height=130,
        help="The answer is what comes right after the last character. Ctrl+Enter runs it.",
    )
    tokens = tokenizer.encode(text)
    if not tokens or len(tokens) > experiment.model.config.block_size:
        st.info(
            f"{len(tokens)} tokens; write 1 to {experiment.model.config.block_size}.",
            icon=":material/edit:",
        )
        return
    pair = int(answers.right[0]), int(answers.wrong[0])
    shown = [show_token(tokenizer.token_bytes(token)) for token in pair]
    means = experiment.means
    runs = {
        "Whole model": next_token(experiment.model, tokens),
        "Circuit": next_token(experiment.model, tokens, experiment.alive, means),
    }
    with st.container(horizontal=True):
        for name, expected in runs.items():
            p = expected.against(*pair)
            best = 0 if p >= 0.5 else 1
            st.metric(
                name,
                f"{shown[best]}  {max(p, 1 - p):.1%}",
                plain(f"against {shown[1 - best]}  {min(p, 1 - p):.1%}"),
                delta_color="off",
                delta_arrow="off",
                width="content",
                help="Probability when only these two answers are allowed. 50% is chance.",
            )
