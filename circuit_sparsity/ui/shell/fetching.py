"""What the sidebar chose and is not here: fetched after saying its size, or offered on a button.

A circuit's own file is small and comes at once; a model is large and waits for a click.
"""

import streamlit as st

from circuit_sparsity.store import Damaged, Store, paths
from circuit_sparsity.store.progress import size_in_words
from circuit_sparsity.ui.shell import transfers
from circuit_sparsity.ui.shell.jobs import Job, begin, watch
from circuit_sparsity.ui.shell.messages import plain
from circuit_sparsity.ui.shell.pickers import Choice
from circuit_sparsity.ui.shell.transfers import (
    TransferProgress,
    again,
    ended_badly,
    progress_in_words,
    share,
)

_WEIGHTS = (paths.DENSE_WEIGHTS, paths.COMPACT_WEIGHTS)
_NOT_RUN = "this circuit cannot be run yet, but you can see what its file stores"
_NOT_READ = "its weights cannot be shown yet"
_STAGES = {"size": "Size", "download": "Download", "verify": "Verify", "load": "Open"}


def ready(choice: Choice) -> bool:
    """Whether the circuit can be run here; draws what is missing, and how it comes, if not."""
    return circuit_is_here(choice) and model_is_here(choice.model)


def circuit_is_here(choice: Choice) -> bool:
    """Whether the circuit's file is here; if not, it is fetched at once, visibly."""
    store = Store.from_environment()
    title = " · ".join(choice)
    try:
        if store.path_of_viz(*choice) is not None:
            return True
    except Damaged as trouble:
        _damaged(store, paths.viz_name(*choice), title, trouble)
        return False
    names = (paths.viz_name(*choice), *_missing_tokenizer(store, choice.model))
    job = transfers.find_fetch(store, names)
    if job is None or (job.state == "done" and paths.viz_name(*choice) not in job.result().bad):
        job = transfers.fetch(store, names, title, lane="short")
    _follow(job, f"Fetching the circuit {title}{_of_size(store, names)}")
    return False


def model_is_here(model: str, to_run: bool = True) -> bool:
    """Whether all that running a circuit of the model takes is here; if not, it is offered.

    Without ``to_run``, weights and tokenizer are enough.
    """
    store = Store.from_environment()
    missing = missing_to_run if to_run else missing_to_read
    names = missing(store, model)
    job = transfers.find_fetch(store, names)
    if job is None or not job.active:
        names = missing(store, model)  # a job may have ended since the first look
    if not names:
        return True
    trouble = transfers.trouble_with(store, paths.means_name(model))
    if job is not None and job.active:
        _follow(job, f"Fetching the model {model}{_of_size(store, names)}")
    elif trouble is not None and names == (paths.means_name(model),):
        _no_means(store, model, trouble)
    elif job is not None and (job.state != "done" or job.result().bad):
        _follow(job, model)
    else:
        _offer(store, model, names, _NOT_RUN if to_run else _NOT_READ)
    return False


def missing_to_run(store: Store, model: str) -> tuple[str, ...]:
    """Files that running a circuit of the model takes and that are not here."""
    means = () if store.path_of_means(model) is not None else (paths.means_name(model),)
    return (*missing_to_read(store, model), *means)


def missing_to_read(store: Store, model: str) -> tuple[str, ...]:
    """Files that looking at the model's weights and tokens takes and that are not here."""
    names: list[str] = []
    if store.path_of_model(model) is None:
        names += [name for name in store.model_files(model) if name.startswith("models/")]
    names += _missing_tokenizer(store, model)
    return tuple(dict.fromkeys(names))


def _missing_tokenizer(store: Store, model: str) -> list[str]:
    if store.path_of_tokenizer(model) is not None:
        return []
    return [name for name in store.model_files(model) if name.endswith(paths.TOKENIZER)]


def _follow(job: Job, title: str) -> None:
    """The stages of a download while it runs; what went wrong and a way on when it ended badly."""
    watch([job] if job.active else [], lambda running: _stages(running, title))
    if job.active:
        return
    if job.state != "done":
        ended_badly(job)
    else:
        for message in job.result().bad.values():
            st.warning(plain(message), icon=":material/cloud_off:")
    again(job, "Resume" if job.state == "stopped" else "Try again")


def _stages(job: Job, title: str) -> None:
    step = job.progress if isinstance(job.progress, TransferProgress) else TransferProgress("size")
    box = st.status(plain(title), expanded=True)
    with box:
        now = step.progress
        st.markdown(
            " → ".join(
                f"**{name}**" if stage == step.stage else f":gray[{name}]"
                for stage, name in _STAGES.items()
            )
        )
        st.progress(share(now), text=plain(progress_in_words(now)))
        st.button(
            "Stopping …" if job.stopping else "Cancel",
            key=f"stop {hash(job.key)}",
            icon=":material/stop_circle:",
            disabled=job.stopping,
            on_click=job.stop,
        )
    box.update(state="running")  # leaving the block marks it as complete


def _offer(store: Store, model: str, names: tuple[str, ...], so: str) -> None:
    known = {item.name: item.size for item in store.items()}
    trouble = ""
    if any(known.get(name) is None for name in names if name.endswith(_WEIGHTS)):
        asked = transfers.ask_sizes(store, names)
        if asked.active:
            watch([asked], lambda job: st.info(f"Checking how large {plain(model)} is …"))
            return
        known |= asked.result() if asked.state == "done" else {}
        trouble = (
            f" Its size could not be found out: {plain(str(asked.error))}." if asked.error else ""
        )
    total = sum(size for name in names if (size := known.get(name)) is not None)
    size, free = size_in_words(total or None), store.usage().free
    said, button = st.columns([0.74, 0.26], vertical_alignment="center")
    said.info(
        f"**The model {plain(model)} is not on this machine**, so {so}. The model takes {size}, "
        f"{size_in_words(free)} are free.{trouble}",
        icon=":material/cloud_download:",
    )
    button.button(
        f"Download the model, {size}",
        width="stretch",
        key=f"fetch {model}",
        type="primary",
        icon=":material/download:",
        disabled=total > free,
        on_click=begin,
        args=(transfers.fetch, store, names, model),
    )


def _no_means(store: Store, model: str, trouble: str) -> None:
    said, button = st.columns([0.74, 0.26], vertical_alignment="center")
    said.info(
        f"**The reference means of {plain(model)} could not be fetched.** Everything outside a "
        "circuit is held at them, so its circuits cannot be run, but you can see what their "
        "files store. "
        f"{plain(trouble)}.",
        icon=":material/info:",
    )
    button.button(
        "Try again",
        width="stretch",
        icon=":material/restart_alt:",
        on_click=begin,
        args=(transfers.fetch, store, (paths.means_name(model),), model),
    )


def _damaged(store: Store, name: str, title: str, trouble: Damaged) -> None:
    job = transfers.find_fetch(store, (name,))
    if job is not None and job.active:
        _follow(job, f"Fetching {title} again")
        return
    st.error(plain(str(trouble)), icon=":material/error:")
    st.button(
        "Download it again",
        icon=":material/download:",
        type="primary",
        on_click=begin,
        args=(transfers.fetch, store, (name,), title, True),
    )


def _of_size(store: Store, names: tuple[str, ...]) -> str:
    known = {item.name: item.size for item in store.items()}
    sizes = [size for name in names if (size := known.get(name)) is not None]
    return f", {size_in_words(sum(sizes))}" if sizes else ", a few MB" * (len(names) < 4)
