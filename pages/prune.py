"""Find a circuit: what to prune, how it goes on, and every size that a run gives."""

import streamlit as st

from circuit_sparsity.store import Store
from circuit_sparsity.ui.prune import form, jobs, progress, sizes
from circuit_sparsity.ui.shell import fetching, messages, pickers
from circuit_sparsity.ui.shell.fields import pressed
from circuit_sparsity.ui.shell.page import page


def prune() -> None:
    model = pickers.chosen_model()
    if model is None:
        messages.no_circuits()
        return
    st.markdown(
        f"Find the part of **{messages.plain(model)}** that does a task: the fewest nodes at a "
        "loss, or the best of a given number. It runs here, keeps going when you close this "
        "page, and the result is a circuit like any other, in the sweep `local`."
    )
    progress.cards()
    if not fetching.model_is_here(model):
        return
    with messages.in_place():
        asked = form.form(model)
        icon = ":material/play_arrow:"
        if pressed("Start", "prune_start", icon, "primary", disabled=asked is None) and asked:
            jobs.prune(Store.from_environment(), *asked)
            st.rerun()
    with messages.in_place():
        sizes.section(model)


page("Prune", prune)
