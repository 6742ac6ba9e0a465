"""What to prune: model, task, goal, means and settings."""

import dataclasses
import hashlib
import re

import streamlit as st
import torch

from circuit_sparsity.circuits.circuit import total_nodes
from circuit_sparsity.core.model import GPT
from circuit_sparsity.experiment.opening import batch_of_tests
from circuit_sparsity.pruning.request import PruneRequest
from circuit_sparsity.pruning.settings import PRESETS, TARGET_LOSS, PruneSettings, preset
from circuit_sparsity.runtime.ablation import answer_logits
from circuit_sparsity.store import Store
from circuit_sparsity.store.atomic import write_atomically
from circuit_sparsity.tasks import TASKS
from circuit_sparsity.tasks.own import FIELDS, OwnTask, read_pairs
from circuit_sparsity.tasks.task import (
    CHANCE_LOSS,
    Task,
    encode,
    prompts_cut,
    task_context,
    two_way_loss,
)
from circuit_sparsity.ui.prune.jobs import own_task
from circuit_sparsity.ui.shell import cached, device, pickers
from circuit_sparsity.ui.shell.fields import kept
from circuit_sparsity.ui.shell.messages import in_place, plain

OWN = "Own pairs"
_TARGET, _EXACT = "Target loss", "Exact number of nodes"
_MORE = "More …"
_SCRATCH, _SHOWN = "Scratch", "The circuit on screen"
_WAYS = {
    "quick": "Quick: nodes ranked by one pass of attribution, then removed one by one while the "
    "loss allows. About a minute; the circuit may be larger than it need be.",
    "full": "Full: masks are learnt, then nodes removed one by one. Several minutes; the smallest "
    "circuits.",
    "masks": "Masks: as full, but nothing is removed afterwards: larger circuits, sooner; also "
    "where weights are dense.",
    "fast": "Fast: masks are learnt in 200 steps of 16 pairs; nothing is removed afterwards.",
    "published": "Published: the centres of the published search, 1000 steps of 64 pairs. Long.",
}
_EXAMPLE = (
    "prompt,right,wrong,counterpart\n"
    "for item, in,:,while item\n"
    "for line, in,:,while line\n"
    "for name, in,:,while name\n"
    "for word, in,:,while word\n"
)
_LARGEST = 2  # MB of an uploaded file
_UPLOAD_TROUBLE = "trouble with the uploaded pairs"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")


def form(model_name: str) -> tuple[PruneRequest, OwnTask | None] | None:
    """The fields; None as long as something in them cannot be asked for, which is then said."""
    model = cached.model(model_name)
    task = _task_field(model_name, model)
    left, right = st.columns(2, gap="medium")
    with left:
        target, k = _goal(model)
    with right:
        settings = _settings()
    if task is None:
        return None
    start = _start_field(task.name)
    _baseline(model_name, model, task, target)
    over = _means_field()
    request = PruneRequest(
        model_name,
        task.name,
        target,
        k,
        settings=settings,
        start=start,
        means_over=over,
        device=device.chosen(),
    )
    fits = (target is None or target > 0) and (k is None or k <= total_nodes(model.config))
    return (request, task if isinstance(task, OwnTask) else None) if fits else None


def _task_field(model_name: str, model: GPT) -> Task | None:
    """One of the known tasks, or pairs of one's own; None while those cannot be read."""
    chosen = pickers.chosen()
    first = chosen.task.removesuffix("_beeg") if chosen else ""
    options = [*TASKS, OWN]
    name = st.selectbox(
        "Task",
        options,
        index=options.index(first) if first in TASKS else 0,
        key="prune_task",
        persist_state="session",
        help="The two-way question about the next token. The sidebar's task comes first.",
    )
    if name == OWN:
        return _own_field(model_name, model)
    st.caption(TASKS[name].summary)
    return TASKS[name]


def _own_field(model_name: str, model: GPT) -> OwnTask | None:
    name = st.text_input(
        "Name of the task", "my_pairs", key="prune_own_name", persist_state="session", max_chars=40
    )
    text = st.text_area(
        "Pairs",
        key="prune_own_pairs",
        persist_state="session",
        placeholder=_EXAMPLE,
        height=180,
        help=f"CSV with the header `{','.join(FIELDS)}`, or one JSON object with these fields a "
        "line. For the counterpart, right and wrong are swapped. At least four pairs; half are "
        "pruned on, a quarter validate, a quarter test. Spaces count.",
    )
    st.file_uploader(
        "Or upload them as CSV or JSONL: the file's text goes into the field above",
        ["csv", "jsonl", "txt"],
        key="prune_upload",
        max_upload_size=_LARGEST,
        on_change=_take_upload,
    )
    if trouble := st.session_state.get(_UPLOAD_TROUBLE):
        st.error(plain(trouble), icon=":material/error:")
    with in_place():
        return _own(name, text or "", model_name, model)
    return None


def _own(name: str, text: str, model_name: str, model: GPT) -> OwnTask | None:
    """The task of these pairs, or a word on what is wrong with it."""
    if not text.strip():
        st.info("Paste pairs or upload a file. The grey text shows the format.")
        return None
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"the task's name is {name!r}; expected 1 to 40 letters, digits, - and _: it becomes a "
            "folder's name"
        )
    task = own_task(name, read_pairs(text))
    tokenizer = cached.tokenizer(model_name)
    encode(task.all_pairs, tokenizer, task_context(model.config.block_size))
    st.caption(f"{len(task.all_pairs)} pairs, read and encoded; kept as `{task.name}`.")
    if told := prompts_cut(task.all_pairs, tokenizer, task_context(model.config.block_size)):
        st.warning(plain(f"{told}."))
    return task


def _take_upload() -> None:
    """The uploaded file's text into the field, where it can be seen and mended."""
    st.session_state.pop(_UPLOAD_TROUBLE, None)
    file = st.session_state["prune_upload"]
    if file is None:
        return
    try:
        st.session_state["prune_own_pairs"] = file.getvalue().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        st.session_state[_UPLOAD_TROUBLE] = (
            f"{file.name} is not UTF-8 text ({error}); save it as UTF-8. The field is unchanged."
        )


def _goal(model: GPT) -> tuple[float | None, int | None]:
    """A target loss or a number of nodes, as the reader chose."""
    which = kept("Stop at", (_TARGET, _EXACT), "prune_goal")
    total = total_nodes(model.config)
    if which == _TARGET:
        target = st.number_input(
            "Target, nats per sequence",
            value=TARGET_LOSS,
            step=0.01,
            format="%.3f",
            key="prune_target",
            persist_state="session",
            help="The fewest nodes whose mean task loss is at most this, on evaluation and on "
            f"validation prompts. The paper's is {TARGET_LOSS}; chance is 0.693.",
        )
        if target <= 0:
            st.error(f"The target is {target:g}; expected more than 0.", icon=":material/error:")
        return target, None
    k = st.number_input(
        "Nodes",
        min_value=1,
        value=64,
        key="prune_k",
        persist_state="session",
        help=f"Exactly this many of {total:,} are kept.",
    )
    if k > total:
        st.error(f"{k:,} nodes were asked for; the model has {total:,}.", icon=":material/error:")
    return None, k


def _start_field(task: str) -> tuple[str, str] | None:
    """Sweep and k of the circuit on screen, if the search is to begin with it."""
    shown = pickers.chosen()
    if shown is None or shown.task != task:
        st.caption(
            "Starts from scratch. To start from a circuit of this task, choose it in the sidebar."
        )
        return None
    meaning = (
        f"The circuit on screen is {shown.sweep} · {shown.k}. Masks begin with its nodes on "
        "and all others off, and others may come in; attribution ranks its nodes first."
    )
    chosen = kept("Start from", (_SCRATCH, _SHOWN), "prune_start_from", meaning)
    return (shown.sweep, shown.k) if chosen == _SHOWN else None


def _settings() -> PruneSettings:
    """How to look: a preset and a seed."""
    chosen = kept("How", ("quick", "full", _MORE), "prune_way", words=str.capitalize)
    if chosen == _MORE:
        others = [name for name in PRESETS if name not in ("quick", "full")]
        chosen = st.selectbox("Preset", others, key="prune_preset", persist_state="session")
    seed = st.number_input(
        "Seed",
        min_value=0,
        value=0,
        key="prune_seed",
        persist_state="session",
        help="For the initial masks and the prompts drawn. The same request with the same seed "
        "gives the same circuit.",
    )
    st.caption(_WAYS.get(chosen, ""))
    return dataclasses.replace(preset(chosen), seed=int(seed))


def _baseline(model_name: str, model: GPT, task: Task, target: float | None) -> None:
    """What the whole model makes of the task, before anything is pruned for it."""
    folder = Store.from_environment().path_of_model(model_name)
    loss, prompts = _model_loss(model_name, task.name, cached.stamp(folder), model, task)
    said = (
        f"The whole model's loss here is **{loss:.4f}** nats per sequence (live, on {prompts} "
        f"prompts of the test split; chance {CHANCE_LOSS:.3f})"
    )
    if loss > (CHANCE_LOSS if target is None else target):
        above = "chance" if target is None else "the target"
        st.warning(
            f"{said}. That is above {above}, and circuits rarely do better than their model.",
            icon=":material/help:",
        )
    else:
        st.caption(f"{said}.")


@st.cache_data(max_entries=128, show_spinner="Running the whole model …")
def _model_loss(
    model_name: str, task_name: str, version: cached.Stamp, _model: GPT, _task: Task
) -> tuple[float, int]:
    batch = batch_of_tests(_task, cached.tokenizer(model_name), _model)
    with torch.no_grad():
        logits = answer_logits(_model, batch.tokens, batch.last)
    return float(two_way_loss(logits, batch.right, batch.wrong).mean()), len(batch)


_OWN, _UPLOADED = "The model's means", "Means over my text"
_LARGEST_MEANS = 8  # MB of an uploaded text
_HELP = (
    "Everything outside the circuit is held at its mean over some text. A model comes with its "
    "own means; means over your text describe that kind of text instead."
)


def _means_field() -> str | None:
    """Path of the uploaded text, kept in the user's folder; None for the model's own means."""
    if kept("Means for everything else", (_OWN, _UPLOADED), "prune_means", _HELP) == _OWN:
        return None
    file = st.file_uploader(
        "The text, UTF-8",
        ["txt", "py", "md"],
        key="prune_means_file",
        max_upload_size=_LARGEST_MEANS,
    )
    if file is None:
        st.caption("Without a text, the model's means are used.")
        return None
    return _stored(file.name, file.getvalue())


def _stored(name: str, data: bytes) -> str | None:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        st.error(
            f"{plain(name)} is not UTF-8 text ({error}); save it as UTF-8 and upload it again. "
            "Until then the model's means are used.",
            icon=":material/error:",
        )
        return None
    short = hashlib.sha256(data).hexdigest()[:8]
    kind = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    path = Store.from_environment().folder / "texts" / f"{short}_{kind}"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda out: out.write(data))
    return str(path)
