"""Parts of the library page: the catalogue, its table, what is done to its files."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime

import pandas as pd
import streamlit as st

from circuit_sparsity.store import Store, StoreError
from circuit_sparsity.store.entries import (
    Entry,
    Scope,
    names_to_fetch,
    removable,
    remove,
    unfinished,
)
from circuit_sparsity.store.progress import size_in_words
from circuit_sparsity.store.remote import public_url
from circuit_sparsity.ui.shell import transfers
from circuit_sparsity.ui.shell.jobs import begin
from circuit_sparsity.ui.shell.messages import plain

_PARTS = ("model", "task", "sweep", "k")
_ALL = {"model": "Everything", "task": "All tasks", "sweep": "All sweeps", "k": "Every k"}
_ONLY = "library_only"
_WHERE = ("Everything known", "On this machine", "Not here")


def numbers(store: Store) -> None:
    """How much of the disk is used by what, and where the folder is."""
    usage = store.usage()
    with st.container(horizontal=True, gap="large"):
        for label, size, meaning in (
            ("Downloads", usage.downloaded, "Files from the container, complete."),
            ("Made here", usage.made_here, "Models and circuits trained or pruned here."),
            ("Unfinished", usage.unfinished, "What had arrived when downloads were stopped."),
            ("Free on the disk", usage.free, "On the disk that holds the folder."),
        ):
            st.metric(label, size_in_words(size), help=meaning, width="content")
    st.caption(
        f"In `{store.folder}`; set `CIRCUIT_SPARSITY_CACHE` to keep it elsewhere. What ships with "
        "the project is in its own folder, is not counted, and cannot be deleted here."
    )


def catalogue(store: Store) -> None:
    """Where the list of what exists is from, and a button that asks for a new one."""
    known = store.catalogue
    words, button = st.columns([0.78, 0.22], vertical_alignment="center")
    if known.when is None:
        origin = (
            f"The {len(known.files)} files of the container that are publicly documented; more may "
            "exist. Refresh to ask the container itself."
        )
    else:
        day = time.strftime("%Y-%m-%d %H:%M", time.localtime(known.when))
        odd = f", and {known.left_out:,} more whose names were rejected" if known.left_out else ""
        origin = f"The container listed {len(known.files):,} files on {day}{odd}."
    words.caption(
        f"{origin} Container: `{public_url(store.url)}`. "
        f"Licence of the released files: {known.licence}."
    )
    button.button(
        "Refresh the list",
        icon=":material/refresh:",
        on_click=begin,
        args=(transfers.refresh, store),
        width="stretch",
    )


def scope(store: Store, known: Sequence[Entry]) -> Scope:
    """What the four pickers say; each may be left open, and names nobody has listed be typed."""
    chosen: list[str | None] = []
    for column, part in zip(st.columns(len(_PARTS)), _PARTS, strict=True):
        options = _options(store, known, Scope(*chosen), len(chosen))
        ready = all(name is not None for name in chosen)
        if not ready:
            st.session_state[f"library_{part}"] = None
        value = column.selectbox(
            part.capitalize() if part != "k" else part,
            options,
            index=None,
            key=f"library_{part}",
            placeholder=_ALL[part],
            accept_new_options=True,
            disabled=not ready,
            help="Leave it open for all of them. A name that the list lacks can be typed.",
        )
        chosen.append(value.strip() or None if value else None)
    return Scope(*chosen)


def table(shown: Sequence[Entry], chosen: Scope, licence: str) -> list[Entry]:
    """The entries, one a row; those whose rows are ticked."""
    if not shown:
        st.info(
            f"Nothing of {plain(chosen.title)} matches this filter.",
            icon=":material/search_off:",
        )
        return []
    event = st.dataframe(
        _frame(shown, licence),
        key=f"library table {chosen.title} {len(shown)}",
        on_select="rerun",
        selection_mode="multi-row",
        hide_index=True,
        width="stretch",
        height=min(38 + 35 * len(shown), 430),
        placeholder="–",
        column_config={
            "size": st.column_config.NumberColumn(
                format="bytes",
                help="Of what is here, or else of what is in the container. A dash: not published.",
            ),
            "last used": st.column_config.DatetimeColumn(format="distance", width=135),
            "what": st.column_config.TextColumn(width=95),
            "name": st.column_config.TextColumn(width=330),
            "where": st.column_config.TextColumn(width=150),
            "licence": st.column_config.TextColumn(width=90),
        },
    )
    return [shown[row] for row in event["selection"]["rows"] if row < len(shown)]


def only() -> str:
    """Which of the entries to show."""
    return st.segmented_control(
        "Show", _WHERE, default=_WHERE[0], key=_ONLY, required=True, label_visibility="collapsed"
    )


def filters(which: str) -> bool:
    """Whether it hides anything."""
    return which != _WHERE[0]


def passes(entry: Entry, which: str) -> bool:
    return which == _WHERE[0] or (bool(entry.here) == (which == _WHERE[1]))


def actions(
    store: Store,
    chosen: Scope,
    ticked: Sequence[Entry],
    shown: Sequence[Entry],
    everything: bool,
) -> None:
    """Download, verify and delete what is ticked, or else all that is shown."""
    acted = tuple(ticked or shown)
    title = _title(chosen, ticked)
    has_circuits = any(entry.kind == "circuit" for entry in acted) or chosen.k is not None
    with_models = not has_circuits or st.toggle(
        "with the model that runs them",
        value=True,
        key="library_with_models",
        help="A circuit's own file (1 to 20 MB) holds what was measured when it was made. Running "
        "it here needs its model and means.",
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        _download(store, chosen, ticked, shown, with_models, title)
        _verify(store, acted, title)
        _remove(store, acted, title, everything and not ticked)
    st.caption(f"The buttons act on: {plain(title)}.")


def _download(
    store: Store,
    chosen: Scope,
    ticked: Sequence[Entry],
    shown: Sequence[Entry],
    with_models: bool,
    title: str,
) -> None:
    try:
        wanted = names_to_fetch(store, chosen, ticked, shown, with_models)
    except StoreError as trouble:
        st.warning(plain(str(trouble)), icon=":material/help:")
        return
    sizes = [size for size in wanted.values() if size is not None]
    some = "" if len(sizes) == len(wanted) else "at least "
    words = f"{some}{size_in_words(sum(sizes))}" if sizes else "size unknown"
    fits = sum(sizes) < store.usage().free
    files = f"{len(wanted)} file{'' if len(wanted) == 1 else 's'}"
    st.button(
        f"Download {files}, {words}" if wanted else "Nothing to download",
        icon=":material/download:",
        type="secondary" if chosen.model is None and not ticked else "primary",
        disabled=not wanted or not fits,
        help=None if fits else "It does not fit on the disk.",
        on_click=begin,
        args=(transfers.fetch, store, tuple(wanted), title),
    )


def _verify(store: Store, acted: Sequence[Entry], title: str) -> None:
    names = [item.name for entry in acted for item in entry.here]
    st.button(
        "Verify again",
        icon=":material/verified:",
        disabled=not names,
        help="Reads every file that is here and compares it with what was downloaded.",
        on_click=begin,
        args=(transfers.verify, store, tuple(names), title),
    )
    newer = [item.name for entry in acted for item in entry.here if entry.is_newer_there]
    if newer:
        st.button(
            f"Update {len(newer)}",
            icon=":material/update:",
            help="The container lists a different version from the one that was downloaded.",
            on_click=begin,
            args=(transfers.fetch, store, tuple(newer), f"{title}, new version", True),
        )


def _remove(store: Store, acted: Sequence[Entry], title: str, everything: bool) -> None:
    mine = can_remove(store, acted, everything)
    if st.button(
        "Delete …",
        icon=":material/delete:",
        disabled=not mine,
        help="Asks first. What ships with the project stays."
        if mine
        else "None of this was downloaded or made here, and what ships stays.",
    ):
        ask_to_remove(store, acted, title, everything)


def files(shown: Sequence[Entry], ticked: Sequence[Entry]) -> None:
    """Every single file, by its path in the container."""
    items = [item for entry in (ticked or shown) for item in entry.items]
    with st.expander(f"{len(items)} single files", icon=":material/description:"):
        st.dataframe(
            pd.DataFrame(
                {
                    "path": [item.name for item in items],
                    "where": [item.where for item in items],
                    "bytes": [item.size for item in items],
                }
            ),
            hide_index=True,
            width="stretch",
            column_config={"bytes": st.column_config.NumberColumn(format="localized")},
        )


def _title(chosen: Scope, ticked: Sequence[Entry]) -> str:
    if not ticked:
        return chosen.title
    if len(ticked) == 1:
        return f"{ticked[0].title} ({ticked[0].kind})"
    return f"{len(ticked)} rows of the table"


def _options(store: Store, known: Sequence[Entry], so_far: Scope, part: int) -> list[str]:
    inside = [entry for entry in known if so_far.holds(entry)]
    names = [(entry.model, *entry.circuit)[part] for entry in inside]
    possible = store.catalogue.possible_models if part == 0 else ()
    return list(dict.fromkeys(name for name in (*names, *possible) if name is not None))


def _frame(shown: Sequence[Entry], licence: str) -> pd.DataFrame:
    used = [entry.last_used for entry in shown]
    frame = pd.DataFrame(
        {
            "what": [entry.kind for entry in shown],
            "name": [entry.title for entry in shown],
            "where": [
                f"{entry.place}, newer in the container" if entry.is_newer_there else entry.place
                for entry in shown
            ],
            "size": [entry.size for entry in shown],
            "last used": pd.to_datetime(
                [datetime.fromtimestamp(moment, UTC) if moment else None for moment in used],
                utc=True,
            ),
            "licence": [entry.licence(licence) for entry in shown],
        }
    )
    return frame if any(used) else frame.drop(columns="last used")


_SAID = "library said"


@st.dialog("Delete from this machine?")
def ask_to_remove(store: Store, acted: Sequence[Entry], title: str, everything: bool) -> None:
    """Say what would go, and do it on a second click."""
    own = [item for entry in acted for item in entry.items if item.where == "local"]
    st.markdown(f"**{plain(title)}**")
    with_own = bool(own) and st.checkbox(
        f"Also {len(own)} files that were made here and cannot be downloaded again"
    )
    items = removable(acted, with_own)
    parts = _parts(store, acted, everything)
    size = sum(item.size or 0 for item in items) + sum(parts.values())
    downloads = sum(item.where == "cached" for item in items)
    st.markdown(
        f"{downloads} downloaded files"
        + (f" and {len(items) - downloads} made here" if with_own else "")
        + (f", and {len(parts)} unfinished downloads" if parts else "")
        + f": {size_in_words(size)}. Downloads can be fetched again; what ships with the project "
        "stays."
    )
    with st.container(horizontal=True):
        names = sorted({*parts, *(item.name for item in items)})
        gone = st.button(
            "Delete",
            key="library_really_delete",
            type="primary",
            icon=":material/delete:",
            disabled=size == 0,
            on_click=_delete,
            args=(store, names),
        )
        if gone or st.button("Keep everything"):
            st.rerun()


def said() -> None:
    """What the last deletion did, once."""
    if _SAID not in st.session_state:
        return
    freed, troubles = st.session_state.pop(_SAID)
    st.success(f"{size_in_words(freed)} freed.", icon=":material/delete:")
    for trouble in troubles:
        st.warning(plain(trouble), icon=":material/warning:")


def _parts(store: Store, acted: Sequence[Entry], everything: bool) -> dict[str, int]:
    names = {item.name for entry in acted for item in entry.items}
    return {n: size for n, size in unfinished(store).items() if everything or n in names}


def can_remove(store: Store, acted: Sequence[Entry], everything: bool) -> bool:
    """Whether anything of it was downloaded, in part or whole, or made here."""
    return bool(removable(acted, own_results=True)) or bool(_parts(store, acted, everything))


def _delete(store: Store, names: list[str]) -> None:
    st.session_state[_SAID] = remove(store, names)
