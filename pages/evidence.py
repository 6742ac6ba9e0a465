"""Is the circuit real? What was measured of it, beside controls that should mean nothing."""

import streamlit as st

from circuit_sparsity.ui.evidence import sections, summary
from circuit_sparsity.ui.shell import attacks, cached, fetching, messages
from circuit_sparsity.ui.shell.page import circuit_page
from circuit_sparsity.ui.shell.pickers import Choice


def page(choice: Choice) -> None:
    st.markdown(
        f"Is **{messages.plain(' · '.join(choice))}** what the model really does, or would any "
        "nodes do?"
    )
    found = sections.read(choice)
    if found is not None:
        summary.section(found)
    sections.measuring(choice, found)
    if found is None:
        sections.nothing_yet(choice)
    else:
        sections.tables(found)
        sections.curves(found)
        sections.nodes(found)
    if attacks.of_task(choice.task) and fetching.model_is_here(choice.model):
        attacks.section(cached.live(choice))


circuit_page("Evidence", page, needs="file")
