"""How a download or a check goes on and how it ended, as cards with a bar and buttons."""

import streamlit as st

from circuit_sparsity.store import Progress, Refreshed, Store
from circuit_sparsity.store.progress import size_in_words, time_in_words
from circuit_sparsity.ui.shell import transfers as library_jobs
from circuit_sparsity.ui.shell.jobs import Job, begin, jobs, watch
from circuit_sparsity.ui.shell.messages import plain
from circuit_sparsity.ui.shell.transfers import Outcome, Step

_STAGES = {
    "size": "Asking for sizes",
    "download": "Downloading",
    "verify": "Verifying",
    "convert": "Making the weights compact, so that they open quickly",
    "list": "Asking the container for its list",
}
_SHOWN = 4  # files that went wrong, before the rest is folded away


def cards(store: Store) -> None:
    """Every job of the library that runs, then those that ended and were not dismissed."""
    known = [job for job in jobs().all(library_jobs.KINDS) if not _needs_no_words(job)]
    watch([job for job in known if job.running], running)
    for job in reversed(known):
        if not job.running:
            _ended(job)


def running(job: Job) -> None:
    """A bar with speed and remaining time, and a button that stops."""
    with st.container(border=True):
        words, button = st.columns([0.82, 0.18], vertical_alignment="center")
        with words:
            step = job.progress if isinstance(job.progress, Step) else None
            st.markdown(f"**{plain(job.title)}** — {stage_in_words(step)}")
            now = step.progress if step else None
            st.progress(share(now), text=plain(progress_in_words(now)))
        button.button(
            "Stopping …" if job.stopping else "Cancel",
            key=f"stop {hash(job.key)}",
            icon=":material/stop_circle:",
            disabled=job.stopping,
            on_click=job.stop,
            width="stretch",
        )


def stage_in_words(step: Step | None) -> str:
    """
    >>> stage_in_words(Step("download", files=(2, 5)))
    'Downloading, file 2 of 5'
    """
    if step is None:
        return "Starting"
    place = f", file {step.files[0]} of {step.files[1]}" if step.files else ""
    return f"{_STAGES[step.stage]}{place}"


def progress_in_words(progress: Progress | None) -> str:
    """
    >>> progress_in_words(Progress("models/m/x", 500_000, 2_000_000, 1e6, 1.5))
    'models/m/x: 500.0 kB of 2.0 MB · 1.0 MB/s · 2 s left'
    """
    if progress is None:
        return "…"
    of = f" of {size_in_words(progress.total)}" if progress.total is not None else ""
    speed = f" · {size_in_words(round(progress.speed))}/s" if progress.speed else ""
    left = f" · {time_in_words(progress.remaining)} left" if progress.remaining is not None else ""
    return f"{progress.name}: {size_in_words(progress.done)}{of}{speed}{left}"


def share(progress: Progress | None) -> float:
    """How much is done, from 0 to 1; 0 while nobody knows of how much."""
    if progress is None or not progress.total:
        return 0.0
    return min(1.0, progress.done / progress.total)


def ended_badly(job: Job) -> None:
    """Why a job failed or that it was stopped, and a button to go on; nothing for one that did."""
    if job.state == "stopped":
        st.info(f"{plain(job.title)} was stopped. {_kept(job)}", icon=":material/pause_circle:")
    elif job.error is not None:
        st.error(f"{plain(job.title)}: {plain(str(job.error))}", icon=":material/error:")


def again(job: Job, label: str) -> None:
    """A button that does a download anew, from where it stopped."""
    _, store, names = job.key
    st.button(
        label,
        key=f"again {hash(job.key)}",
        icon=":material/restart_alt:",
        type="primary",
        on_click=begin,
        args=(library_jobs.fetch, store, names, job.title),
    )


def _needs_no_words(job: Job) -> bool:
    """A new list is seen by its date."""
    return job.key[0] == "refresh" and job.state == "done" and job.result().listed


def _ended(job: Job) -> None:
    words, close = st.columns([0.94, 0.06])
    with words:
        if job.state == "done":
            _done(job)
        else:
            ended_badly(job)
        if job.key[0] == "fetch" and (job.state != "done" or job.result().bad):
            again(job, "Resume" if job.state == "stopped" else "Try again")
        if job.key[0] == "verify" and job.state == "done" and job.result().bad:
            _renew(job)
    close.button(
        "",
        key=f"dismiss {hash(job.key)}",
        icon=":material/close:",
        help="Dismiss",
        type="tertiary",
        on_click=jobs().forget,
        args=(job.key,),
    )


def _done(job: Job) -> None:
    result = job.result()
    if isinstance(result, Refreshed):
        st.warning(plain(f"{result.note}."), icon=":material/cloud_off:")
        return
    assert isinstance(result, Outcome)
    count = f"{len(result.good)} file{'' if len(result.good) == 1 else 's'}"
    done = "downloaded and verified" if job.key[0] == "fetch" else "verified"
    size, seconds = size_in_words(result.size), time_in_words(job.seconds)
    if result.good:
        st.success(
            f"{plain(job.title)}: {count}, {size}, {done} in {seconds}.", icon=":material/check:"
        )
        with st.expander("What was compared"):
            st.markdown("\n".join(f"- {plain(sentence)}" for sentence in result.good.values()))
    _troubles(result.bad.values())


def _troubles(messages) -> None:
    messages = list(messages)
    for message in messages[:_SHOWN]:
        st.warning(plain(message), icon=":material/warning:")
    if len(messages) > _SHOWN:
        with st.expander(f"{len(messages) - _SHOWN} more files went wrong"):
            st.markdown("\n".join(f"- {plain(message)}" for message in messages[_SHOWN:]))


def _renew(job: Job) -> None:
    bad = job.result().bad
    st.button(
        f"Download {len(bad)} damaged again",
        key=f"renew {hash(job.key)}",
        icon=":material/download:",
        type="primary",
        on_click=_fetch_anew,
        args=(job,),
    )


def _fetch_anew(job: Job) -> None:
    _, store, _ = job.key
    library_jobs.fetch(store, job.result().bad, f"Damaged files of: {job.title}", renew=True)
    jobs().forget(job.key)


def _kept(job: Job) -> str:
    step = job.progress
    if not isinstance(step, Step) or step.progress is None:
        return "Nothing had arrived."
    if step.stage != "download":
        return "What is here stays here."
    arrived = progress_in_words(step.progress).split(": ")[-1].split(" · ")[0]
    return f"{arrived} had arrived and are kept: resuming goes on from there."
