"""Named views: what is looked at, switched off and coloured now, kept under a name."""

from collections.abc import Callable
from html import escape
from urllib.parse import urlencode

import streamlit as st

from circuit_sparsity.experiment.labels import LONGEST
from circuit_sparsity.experiment.views import Views, change_views, read_views
from circuit_sparsity.plots.colours import palette
from circuit_sparsity.store import Store
from circuit_sparsity.ui.shell.cached import LiveView
from circuit_sparsity.ui.shell.messages import plain

_NEW, _TROUBLE = "new_view", "trouble with a view"


def section(view: LiveView) -> None:
    """A field that keeps the present view, and the views that were kept."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input(
            "Name this view",
            key=_NEW,
            max_chars=LONGEST,
            placeholder="without the closing head",
            width=320,
            help="Keeps all that the link in the sidebar holds: what is switched off, looked at "
            "and coloured, the example, the edges shown. It lies in your own folder and travels "
            "with an exported investigation.",
        )
        st.button("Save", icon=":material/bookmark_add:", on_click=_save, args=(view,))
    if trouble := st.session_state.pop(_TROUBLE, None):
        st.error(plain(trouble), icon=":material/error:")
    views = read_views(Store.from_environment(), view.circuit)
    if not views.queries:
        st.caption("No views are saved for this circuit yet.")
    for name, query in views.queries.items():
        _one(view, name, query)


def query_now() -> str:
    """The parameters of the address, as the browser writes them."""
    given = [(key, value) for key in st.query_params for value in st.query_params.get_all(key)]
    return urlencode(given)


def _one(view: LiveView, name: str, query: str) -> None:
    colour = palette(st.context.theme.type).text
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.html(
            f'<a class="saved-view" href="?{escape(query)}" target="_self" '
            f'style="color:{colour}">{escape(name)}</a>',
            width=320,
        )
        with st.popover("Rename", icon=":material/edit:"):
            new = st.text_input("New name", name, max_chars=LONGEST, key=f"rename {name}")
            st.button("Rename", key=f"do rename {name}", on_click=_rename, args=(view, name, new))
        st.button(
            "Delete",
            key=f"delete view {name}",
            icon=":material/delete:",
            type="tertiary",
            on_click=_delete,
            args=(view, name),
        )


def _save(view: LiveView) -> None:
    name, query = st.session_state[_NEW], query_now()
    if _change(view, lambda views: views.named(name, query)):
        st.session_state[_NEW] = ""


def _rename(view: LiveView, name: str, new: str) -> None:
    _change(view, lambda views: views.renamed(name, new))


def _delete(view: LiveView, name: str) -> None:
    _change(view, lambda views: views.without(name))


def _change(view: LiveView, change: Callable[[Views], Views]) -> bool:
    """Whether it could be done; why not is said below the field."""
    try:
        change_views(Store.from_environment(), view.circuit, change)
    except (ValueError, OSError) as error:
        st.session_state[_TROUBLE] = str(error)
        return False
    return True
