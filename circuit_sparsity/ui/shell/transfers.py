"""What the library does as jobs: fetch, verify, ask for sizes, refresh the catalogue."""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from circuit_sparsity.core.checkpoint import CheckpointError
from circuit_sparsity.runtime.conversion import convert
from circuit_sparsity.store import Progress, Refreshed, Store, StoreError, Unreachable, paths
from circuit_sparsity.store.container import fetch_all
from circuit_sparsity.ui.shell.jobs import Job, Report, jobs

KINDS = ("fetch", "verify", "refresh")  # of jobs that the library page shows
Stage = Literal["size", "download", "verify", "convert", "list"]


@dataclass(frozen=True)
class Step:
    """How far a job is."""

    stage: Stage
    progress: Progress | None = None
    files: tuple[int, int] | None = None  # which, of how many


@dataclass(frozen=True)
class Outcome:
    """What a job did, file by file; sentences for the reader."""

    good: Mapping[str, str]
    bad: Mapping[str, str]
    size: int = 0  # bytes of the good ones


def fetch(store: Store, names: Iterable[str], title: str, renew: bool = False) -> Job:
    """The job that downloads and verifies ``names``; one for all who ask for the same.

    A file that the container lacks or holds damaged does not stop the others. ``renew`` downloads
    again what is here.
    """
    wanted = tuple(sorted(names))

    def work(report: Report, cancel: threading.Event) -> Outcome:
        sizes = _sizes(store, wanted, report, cancel)
        fetched = fetch_all(
            sizes,
            lambda name, tell: store.fetch(name, tell, cancel, renew=renew),
            lambda progress: report(Step("download", progress, _place(progress.name, wanted))),
        )
        bad = {name: str(trouble) for name, trouble in fetched.troubles.items()}
        here = [name for name in wanted if name not in bad]
        checked = _verified(store, here, report, cancel)
        checked = _converted(store, checked, report, cancel)
        size = sum(path.stat().st_size for path in fetched.paths)
        return replace(checked, bad=bad | dict(checked.bad), size=size)

    return jobs().start(("fetch", store, wanted), title, work, again=True)


def find_fetch(store: Store, names: Iterable[str]) -> Job | None:
    """The job that somebody started for just these files, or one under way that brings them.

    While files arrive one by one, what is still missing is less than what was asked for.
    """
    wanted = tuple(sorted(names))
    exact = jobs().find(("fetch", store, wanted))
    if exact is not None:
        return exact
    under_way = (job for job in jobs().all(["fetch"]) if job.running and job.key[1] == store)
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

    def work(report: Report, cancel: threading.Event) -> Outcome:
        return _verified(store, wanted, report, cancel)

    return jobs().start(("verify", store, wanted), title, work, again=True)


def refresh(store: Store) -> Job:
    """The job that asks the container for its list."""

    def work(report: Report, cancel: threading.Event) -> Refreshed:
        report(Step("list"))
        return store.refresh(cancel)

    return jobs().start(("refresh", store), "Refresh the catalogue", work, again=True)


def ask_sizes(store: Store, names: Iterable[str]) -> Job:
    """The job whose result is ``names`` with their sizes in bytes, asked for where unknown."""
    wanted = tuple(sorted(names))

    def work(report: Report, cancel: threading.Event) -> dict[str, int | None]:
        return _sizes(store, wanted, report, cancel)

    return jobs().start(("sizes", store, wanted), "Ask for sizes", work)


def _sizes(
    store: Store, names: tuple[str, ...], report: Report, cancel: threading.Event
) -> dict[str, int | None]:
    known = {item.name: item.size for item in store.items()}
    sizes: dict[str, int | None] = {}
    for place, name in enumerate(names):
        report(Step("size", files=(place + 1, len(names))))
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
    store: Store, names: Iterable[str], report: Report, cancel: threading.Event
) -> Outcome:
    names = tuple(names)
    good, bad, size = {}, {}, 0
    for name in names:
        place = _place(name, names)
        try:
            good[name] = store.verify(
                name, lambda now, place=place: report(Step("verify", now, place)), cancel
            )
        except StoreError as trouble:
            if cancel.is_set():
                raise
            bad[name] = str(trouble)
        else:
            path = store.find(name)
            size += path.stat().st_size if path else 0
    return Outcome(good, bad, size)


def _converted(store: Store, checked: Outcome, report: Report, cancel: threading.Event) -> Outcome:
    """What large checkpoints among the good files need to open quickly, done now."""
    bad = dict(checked.bad)
    for name in checked.good:
        model = paths.model_of(name) if name.endswith(paths.DENSE_WEIGHTS) else None
        folder = store.path_of_model(model) if model else None
        if folder is None:
            continue
        try:
            convert(folder, lambda now: report(Step("convert", now)), cancel)
        except CheckpointError as trouble:
            bad[name] = str(trouble)
    return replace(checked, bad=bad)


def _place(name: str, names: tuple[str, ...]) -> tuple[int, int] | None:
    return (names.index(name) + 1, len(names)) if name in names else None
