"""Downloads, checks and the catalogue's refresh as jobs, and the cards that show them."""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import streamlit as st

from circuit_sparsity.core.checkpoint import CheckpointError
from circuit_sparsity.runtime.conversion import convert
from circuit_sparsity.store import Progress, Refreshed, Store, StoreError, Unreachable, paths
from circuit_sparsity.store.container import fetch_all
from circuit_sparsity.store.progress import size_in_words, time_in_words
from circuit_sparsity.ui.shell.jobs import Job, Lane, ReportProgress, begin, jobs, watch
from circuit_sparsity.ui.shell.messages import plain

KINDS = ("fetch", "verify", "refresh")  # of jobs that the library page shows
Stage = Literal["size", "download", "verify", "convert", "list"]


@dataclass(frozen=True)
class TransferProgress:
    """How far a job is."""

    stage: Stage
    progress: Progress | None = None
    files: tuple[int, int] | None = None  # which, of how many


@dataclass(frozen=True)
class TransferResult:
    """What a job did, file by file; sentences for the reader."""

    good: Mapping[str, str]
    bad: Mapping[str, str]
    size: int = 0  # bytes of the good ones


def fetch(
    store: Store,
    names: Iterable[str],
    title: str,
    renew: bool = False,
    lane: Lane = "transfer",
) -> Job:
    """The job that downloads and verifies ``names``; one for all who ask for the same.

    A file that the container lacks or holds damaged does not stop the others. ``renew`` downloads
    again what is here. ``lane``: a circuit's own file is a matter of seconds and waits for none.
    """
    wanted = tuple(sorted(names))

    def work(report: ReportProgress, cancel: threading.Event) -> TransferResult:
        sizes = _sizes(store, wanted, report, cancel)
        fetched = fetch_all(
            sizes,
            lambda name, tell: store.fetch(name, tell, cancel, renew=renew),
            lambda progress: report(
                TransferProgress("download", progress, _place(progress.name, wanted))
            ),
        )
        bad = {name: str(trouble) for name, trouble in fetched.troubles.items()}
        here = [name for name in wanted if name not in bad]
        checked = _verified(store, here, report, cancel)
        checked = _converted(store, checked, report, cancel)
        size = sum(path.stat().st_size for path in fetched.paths)
        return replace(checked, bad=bad | dict(checked.bad), size=size)

    return jobs().start(("fetch", store, wanted), title, work, again=True, lane=lane)


def find_fetch(store: Store, names: Iterable[str]) -> Job | None:
    """The job that somebody started for just these files, or one under way that brings them.

    While files arrive one by one, what is still missing is less than what was asked for.
    """
    wanted = tuple(sorted(names))
    exact = jobs().find(("fetch", store, wanted))
    if exact is not None:
        return exact
    under_way = (job for job in jobs().all(["fetch"]) if job.active and job.key[1] == store)
    return next((job for job in under_way if set(wanted) <= set(job.key[2])), None)


def trouble_with(store: Store, name: str) -> str | None:
    """What the last download that asked for this file said of it, if it did not get it."""
    for job in reversed(jobs().all(["fetch"])):
        if job.key[1] == store and name in job.key[2] and job.state == "done":
            return job.result().bad.get(name)
    return None


def verify(store: Store, names: Iterable[str], title: str) -> Job:
    """The job that reads ``names`` again and compares them with what was downloaded."""
    wanted = tuple(sorted(names))

    def work(report: ReportProgress, cancel: threading.Event) -> TransferResult:
        return _verified(store, wanted, report, cancel)

    return jobs().start(("verify", store, wanted), title, work, again=True, lane="transfer")


def refresh(store: Store) -> Job:
    """The job that asks the container for its list."""

    def work(report: ReportProgress, cancel: threading.Event) -> Refreshed:
        report(TransferProgress("list"))
        return store.refresh(cancel)

    key, title = ("refresh", store), "Refresh the catalogue"
    return jobs().start(key, title, work, again=True, lane="short")


def ask_sizes(store: Store, names: Iterable[str]) -> Job:
    """The job whose result is ``names`` with their sizes in bytes, asked for where unknown."""
    wanted = tuple(sorted(names))

    def work(report: ReportProgress, cancel: threading.Event) -> dict[str, int | None]:
        return _sizes(store, wanted, report, cancel)

    return jobs().start(("sizes", store, wanted), "Ask for sizes", work, lane="short")


def _sizes(
    store: Store, names: tuple[str, ...], report: ReportProgress, cancel: threading.Event
) -> dict[str, int | None]:
    known = {item.name: item.size for item in store.items()}
    sizes: dict[str, int | None] = {}
    for place, name in enumerate(names):
        report(TransferProgress("size", files=(place + 1, len(names))))
        sizes[name] = known.get(name)
        if sizes[name] is None and not cancel.is_set():
            sizes[name] = _asked_size(store, name)
    return sizes


def _asked_size(store: Store, name: str) -> int | None:
    try:
        return store.remote_size(name)
    except Unreachable:
        raise  # every other file would wait as long
    except StoreError:
        return None  # the download says what is wrong with this file


def _verified(
    store: Store, names: Iterable[str], report: ReportProgress, cancel: threading.Event
) -> TransferResult:
    names = tuple(names)
    good, bad, size = {}, {}, 0
    for name in names:
        place = _place(name, names)
        try:
            good[name] = store.verify(
                name,
                lambda now, place=place: report(TransferProgress("verify", now, place)),
                cancel,
            )
        except StoreError as trouble:
            if cancel.is_set():
                raise
            bad[name] = str(trouble)
        else:
            path = store.find(name)
            size += path.stat().st_size if path else 0
    return TransferResult(good, bad, size)


def _converted(
    store: Store, checked: TransferResult, report: ReportProgress, cancel: threading.Event
) -> TransferResult:
    """What large checkpoints among the good files need to open quickly, done now."""
    bad = dict(checked.bad)
    for name in checked.good:
        model = paths.model_of(name) if name.endswith(paths.DENSE_WEIGHTS) else None
        folder = store.path_of_model(model) if model else None
        if folder is None:
            continue
        try:
            convert(folder, lambda now: report(TransferProgress("convert", now)), cancel)
        except CheckpointError as trouble:
            bad[name] = str(trouble)
    return replace(checked, bad=bad)


def _place(name: str, names: tuple[str, ...]) -> tuple[int, int] | None:
    return (names.index(name) + 1, len(names)) if name in names else None


_STAGES = {
    "size": "Asking for sizes",
    "download": "Downloading",
    "verify": "Verifying",
    "convert": "Compacting the weights so that they open quickly",
    "list": "Asking the container for its list",
}
_SHOWN = 4  # files that went wrong, before the rest is folded away


def cards(store: Store) -> None:
    """Every job of the library that runs, then those that ended and were not dismissed."""
    known = [job for job in jobs().all(KINDS) if not _needs_no_words(job)]
    watch([job for job in known if job.active], running)
    for job in reversed(known):
        if not job.active:
            _ended(job)


def running(job: Job) -> None:
    """A bar with speed and remaining time, and a button that stops."""
    with st.container(border=True):
        words, button = st.columns([0.82, 0.18], vertical_alignment="center")
        with words:
            step = job.progress if isinstance(job.progress, TransferProgress) else None
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


def stage_in_words(step: TransferProgress | None) -> str:
    """
    >>> stage_in_words(TransferProgress("download", files=(2, 5)))
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
        args=(fetch, store, names, job.title),
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
    assert isinstance(result, TransferResult)
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
        with st.expander(f"{len(messages) - _SHOWN} more files failed"):
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
    fetch(store, job.result().bad, f"Damaged files of: {job.title}", renew=True)
    jobs().forget(job.key)


def _kept(job: Job) -> str:
    step = job.progress
    if not isinstance(step, TransferProgress) or step.progress is None:
        return "Nothing had arrived."
    if step.stage != "download":
        return "What is here stays here."
    arrived = progress_in_words(step.progress).split(": ")[-1].split(" · ")[0]
    return f"{arrived} had arrived and is kept; resuming continues from there."
