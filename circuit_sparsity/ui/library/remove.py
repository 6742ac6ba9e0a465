"""The question before anything is deleted, and the deletion."""

from collections.abc import Sequence

import streamlit as st

from circuit_sparsity.store import Store
from circuit_sparsity.store.entries import Entry, removable, remove, unfinished
from circuit_sparsity.store.progress import size_in_words
from circuit_sparsity.ui.shell.messages import plain

_SAID = "library said"


@st.dialog("Delete from this machine?")
def ask_to_remove(store: Store, acted: Sequence[Entry], title: str, everything: bool) -> None:
    """Say what would go, and do it on a second click."""
    own = [item for entry in acted for item in entry.items if item.where == "local"]
    st.markdown(f"**{plain(title)}**")
    with_own = bool(own) and st.checkbox(
        f"Also {len(own)} files that were made here, which nobody can give back"
    )
    items = removable(acted, with_own)
    parts = _parts(store, acted, everything)
    size = sum(item.size or 0 for item in items) + sum(parts.values())
    downloads = sum(item.where == "cached" for item in items)
    st.markdown(
        f"{downloads} downloaded files"
        + (f" and {len(items) - downloads} made here" if with_own else "")
        + (f", and what had arrived of {len(parts)} unfinished ones" if parts else "")
        + f": {size_in_words(size)}. Downloads can be had again; what ships with the project stays."
    )
    with st.container(horizontal=True):
        names = sorted({*parts, *(item.name for item in items)})
        gone = st.button(
            "Delete",
            key="library_really_delete",
            type="primary",
            icon=":material/delete:",
            disabled=size == 0,
            on_click=_remove,
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


def _remove(store: Store, names: list[str]) -> None:
    st.session_state[_SAID] = remove(store, names)
