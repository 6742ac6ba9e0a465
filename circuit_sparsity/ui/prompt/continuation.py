"""Texts continued by model, circuit and ablated circuit, as a job that can be stopped."""

import threading
from collections.abc import Sequence

import streamlit as st

from circuit_sparsity.core.tokenizer import Tokenizer
from circuit_sparsity.experiment.experiment import Cancelled
from circuit_sparsity.nodes.generation import Continuation, continued
from circuit_sparsity.ui.prompt import readings
from circuit_sparsity.ui.shell import cached, state, strips
from circuit_sparsity.ui.shell.cached import LiveView
from circuit_sparsity.ui.shell.fields import pressed
from circuit_sparsity.ui.shell.jobs import Job, Key, ReportProgress, jobs, watch
from circuit_sparsity.ui.shell.messages import plain
from circuit_sparsity.ui.shell.strips import Strip

KIND = "continue"
_MOST = 20  # tokens
Continued = dict[tuple[int, str], Continuation]  # by text and who reads


def section(view: LiveView, texts: Sequence[Sequence[int]], tokenizer: Tokenizer) -> None:
    """A button; then what each reader writes, as it comes."""
    st.markdown(
        f"Each continues the text by up to {_MOST} tokens, always with the one it finds "
        "likeliest (greedy decoding); the colour is the probability it gave the token."
    )
    job = jobs().find(_key(view, texts))
    if pressed(
        "Continue the text" if len(texts) == 1 else "Continue both texts",
        "continue",
        type="primary",
        icon=":material/play_arrow:",
        disabled=job is not None and job.active,
    ):
        _start(view, texts)
        st.rerun()
    if job is None:
        return
    watch([job] if job.active else [], lambda running: _running(running, tokenizer))
    if job.active:
        return
    if isinstance(job.error, Cancelled):
        st.info(f"{plain(str(job.error)).capitalize()}.", icon=":material/pause_circle:")
    elif job.error is not None:
        st.error(plain(str(job.error)), icon=":material/error:")
    _show((job.progress or (0, 0, {}))[2], tokenizer)


def _start(view: LiveView, texts: Sequence[Sequence[int]]) -> Job:
    readers = readings.readers(view)  # here: the job has no browser session to ask

    def work(report: ReportProgress, cancel: threading.Event) -> Continued:
        found: Continued = {}
        places = [(i, name) for i in range(len(texts)) for name in readers]
        for number, place in enumerate(places):

            def went_on(so_far: Continuation, place=place, number=number) -> None:
                found[place] = so_far
                done = number * _MOST + len(so_far.tokens)
                report((done, len(places) * _MOST, dict(found)))

            found[place] = continued(readers[place[1]], texts[place[0]], _MOST, went_on, cancel)
        report((len(places) * _MOST, len(places) * _MOST, dict(found)))
        return found

    return jobs().start(_key(view, texts), "Continue a text", work, lane="short")


def _key(view: LiveView, texts: Sequence[Sequence[int]]) -> Key:
    return KIND, cached.identity(view), tuple(map(tuple, texts)), str(state.recipe())


def _running(job: Job, tokenizer: Tokenizer) -> None:
    done, of, found = job.progress or (0, 1, {})
    bar, button = st.columns([0.72, 0.28], vertical_alignment="center")
    bar.progress(done / of, text=f"{done} of {of} tokens")
    button.button(
        "Stopping …" if job.stopping else "Cancel",
        key="stop_continuing",
        icon=":material/stop_circle:",
        width="stretch",
        disabled=job.stopping,
        on_click=job.stop,
    )
    _show(found, tokenizer)


def _show(found: Continued, tokenizer: Tokenizer) -> None:
    several = len({text for text, _ in found}) > 1
    shown = [
        Strip(f"{name}{f', text {text + 1}' if several else ''}", one.tokens, one.probabilities)
        for (text, name), one in found.items()
        if one.tokens
    ]
    if found and not shown:
        st.info(
            "The text fills the model's context: there is no room to go on. Shorten it.",
            icon=":material/info:",
        )
    strips.draw(shown, tokenizer, 1.0, "probability", is_signed=False)
