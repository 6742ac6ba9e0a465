"""The tasks: how well a model answers each, one looked at, and one's own."""

import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import streamlit as st

from circuit_sparsity.experiment.experiment import Cancelled
from circuit_sparsity.experiment.opening import open_model, open_tokenizer
from circuit_sparsity.experiment.scores import (
    CARD,
    KINDS,
    PAIRS,
    Score,
    card_of,
    kinds_of,
    pairs_of_tests,
    score,
    stored_scores,
)
from circuit_sparsity.plots.colours import palette
from circuit_sparsity.plots.tokens import pair_html
from circuit_sparsity.store import Store
from circuit_sparsity.tasks import TASKS
from circuit_sparsity.tasks.task import SPLITS, Task
from circuit_sparsity.ui.shell import cached, fetching
from circuit_sparsity.ui.shell.address import bound
from circuit_sparsity.ui.shell.cached import Stamp
from circuit_sparsity.ui.shell.fields import pressed
from circuit_sparsity.ui.shell.jobs import Job, ReportProgress, jobs, watch
from circuit_sparsity.ui.shell.messages import plain

_TASK, _SHOWN = "shown_task", "task_examples"
Scores = Mapping[str, Mapping[str, Score]]  # by task, then by kind of structure
_OWN = Path(__file__).parents[3] / "docs" / "own_tasks"


def scores(model: str | None) -> None:
    """Every task in a table, with what the model's card stores or what was measured here."""
    store = Store.from_environment()
    job, is_here = None, model is not None and store.path_of_model(model) is not None
    measured: Scores = {}
    if model is not None and is_here:
        job = _find_job(store, model, _version(store, model))
        if job is not None and job.state == "done":
            measured = job.result()
    st.subheader("All tasks" if model is None else f"All tasks, and {model} on them")
    frame = pd.DataFrame([_row(store, model, name, measured) for name in TASKS])
    st.dataframe(frame, hide_index=True, height=38 + 35 * len(frame), column_config=_COLUMNS)
    st.caption(
        f"Right: share of prompts whose right answer is the likelier of the two (chance 50%). "
        f"Loss: nats per sequence (chance 0.693). Both on up to {2 * PAIRS} prompts of the test "
        "split, with names that no pruning and no generated training program saw. *Familiar* "
        "structures occur in generated training programs too, *novel* ones do not. "
        "Stored: written on the model's card when it was trained, on such prompts."
    )
    if model is not None and is_here:
        _measuring(store, model, job)
    elif model is not None:
        fetching.model_is_here(model)


_COLUMNS = {f"{kind}, right": st.column_config.NumberColumn(format="%.1f%%") for kind in KINDS} | {
    f"{kind}, loss": st.column_config.NumberColumn(format="%.3f") for kind in KINDS
}


def _row(store: Store, model: str | None, name: str, measured: Scores) -> dict[str, object]:
    row: dict[str, object] = {"task": name}
    found = measured.get(name)
    where = "measured here"
    if found is None and model is not None:
        found, where = _stored(store, model, name), "stored"
    for kind in KINDS:
        one: Score | None = (found or {}).get(kind)
        row[f"{kind}, right"] = None if one is None else 100 * one.accuracy
        row[f"{kind}, loss"] = None if one is None else one.loss
    row["from"] = where if found else "not measured"
    row["what is asked"] = TASKS[name].summary.replace("`", "")
    return row


def _stored(store: Store, model: str, task: str) -> dict[str, Score]:
    return stored_scores(card_of(store, model), task)


def _version(store: Store, model: str) -> Stamp:
    folder = store.path_of_model(model)
    files = () if folder is None else sorted(p for p in folder.iterdir() if p.name != CARD)
    return cached.stamp(max(files, key=lambda path: path.stat().st_size, default=None))


def _measuring(store: Store, model: str, job: Job | None) -> None:
    if job is not None and job.active:
        watch([job], _running)
        return
    if pressed(
        "Measure here" if job is None or job.state != "done" else "Measure again",
        "measure_tasks",
        icon=":material/straighten:",
        meaning=f"Runs {model} on {2 * PAIRS} prompts of each kind for each task: under a minute "
        "for a small model; it goes on when the page is closed.",
    ):
        _start(store, model)
        st.rerun()
    if job is not None and job.error is not None:
        if isinstance(job.error, Cancelled):
            st.info(plain(f"{str(job.error).capitalize()}; nothing was kept."))
        else:
            st.error(plain(str(job.error)), icon=":material/error:")


def _start(store: Store, model: str) -> Job:
    return _start_job(store, model, _version(store, model), tuple(TASKS.values()))


def _running(job: Job) -> None:
    done, of, name = job.progress or (0, len(TASKS), "starting")
    words = "Stopping …" if job.stopping else f"{done} of {of} tasks measured: {name}"
    st.progress(done / of, text=f"{words} · {job.seconds:.0f} s")
    st.button("Stop", key="stop_tasks", on_click=job.stop, disabled=job.stopping)


def one(model: str | None) -> None:
    """A task: what it asks, how many structures each split has, and pairs as tokens."""
    st.subheader("One task")
    name = st.selectbox("Task", list(TASKS), **bound(_TASK, next(iter(TASKS))))
    task = TASKS[name]
    st.markdown(f"**{plain(task.summary)}**")
    counts = Counter((template.split, bool(template.novel)) for template in task.templates)
    words = {
        "prune": "circuits are found on these",
        "validation": "these determine a circuit's size",
        "test": "everything reported is measured on these",
    }
    st.dataframe(
        pd.DataFrame(
            {
                "split": split,
                "structures": counts[split, False] + counts[split, True],
                "of them novel": counts[split, True],
                "used for": words[split],
            }
            for split in SPLITS
        ),
        hide_index=True,
    )
    store = Store.from_environment()
    if model is None or store.path_of_tokenizer(model) is None:
        st.info("Choose a model that is on this machine to see prompts as its tokens.")
        return
    tokenizer, colours = cached.tokenizer(model), palette(st.context.theme.type)
    shown = st.slider("Pairs to show", 1, 12, 3, **bound(_SHOWN, 3))
    st.caption(
        f"The first pairs of the test split, as tokens of {plain(model)}. What differs between "
        "the two prompts of a pair is outlined; what is right for one is wrong for the other."
    )
    for pair in pairs_of_tests(task, shown):
        with st.container(border=True):
            st.html(pair_html(pair, tokenizer, colours))


def own() -> None:
    """How to make a task of one's own."""
    with st.expander("A task of your own", icon=":material/edit_note:"):
        st.markdown(
            "A file of pairs, CSV or JSONL: a prompt, its right next text (`right`), a wrong one "
            "(`wrong`), and the `counterpart` prompt, for which the two are swapped. Half of "
            "the pairs are for pruning, a quarter each for validation and test. The page Prune "
            "takes such a file; `python -m circuit_sparsity tasks MODEL --pairs FILE` measures a "
            "model on it, and `docs/TASKS_OF_YOUR_OWN.md` explains the rest."
        )
        example = _OWN / "comparison.csv"
        if example.is_file():
            st.code(example.read_text(encoding="utf-8"), language=None)


KIND = "tasks"


def _find_job(store: Store, model: str, version: Stamp) -> Job | None:
    """The job that measures this version of a model."""
    return jobs().find((KIND, store, model, version))


def _start_job(store: Store, model: str, version: Stamp, tasks: tuple[Task, ...]) -> Job:
    """The job whose result are the scores of every task, on `PAIRS` pairs of each kind.

    It reads the model itself: the first one of a process takes long, and a button must not wait.
    """

    def work(report: ReportProgress, cancel: threading.Event) -> Scores:
        report((0, len(tasks), "reading the model"))
        opened = open_model(store, model), open_tokenizer(store, model)
        found: dict[str, dict[str, Score]] = {}
        for done, task in enumerate(tasks):
            report((done, len(tasks), task.name))
            if cancel.is_set():
                raise Cancelled(f"stopped after {done} of {len(tasks)} tasks")
            found[task.name] = {kind: score(*opened, task, kind, PAIRS) for kind in kinds_of(task)}
        return found

    return jobs().start((KIND, store, model, version), f"Tasks of {model}", work, again=True)
