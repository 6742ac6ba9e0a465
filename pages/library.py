"""What exists, what is here, and how big it is; download, verify, delete."""

import streamlit as st

from circuit_sparsity.store import Store
from circuit_sparsity.store.entries import entries
from circuit_sparsity.ui.library import library
from circuit_sparsity.ui.shell import transfers
from circuit_sparsity.ui.shell.page import page


def all_files() -> None:
    store = Store.from_environment()
    library.numbers(store)
    library.said()
    transfers.cards(store)
    known = entries(store)
    st.subheader("Models and circuits")
    library.catalogue(store)
    chosen = library.scope(store, known)
    which = library.only()
    shown = [e for e in known if chosen.holds(e) and library.passes(e, which)]
    buttons = st.container()  # above the table, which says what they act on
    ticked = library.table(shown, chosen, store.catalogue.licence)
    with buttons:
        # What a filter hides is not acted on, so under one the rows shown count as ticked.
        acted = ticked or ([] if len(shown) == len(known) or not library.filters(which) else shown)
        library.actions(store, chosen, acted, shown, everything=len(shown) == len(known))
    library.files(shown, ticked)


page("Library", all_files)
