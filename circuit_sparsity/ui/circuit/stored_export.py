"""What a circuit's file says, for other tools."""

import streamlit as st

from circuit_sparsity.experiment.labels import read_labels
from circuit_sparsity.export.document import stored_document
from circuit_sparsity.store import Store
from circuit_sparsity.ui.circuit.export import FOR_OTHERS, Write, name_of
from circuit_sparsity.ui.circuit.stored_scene import StoredScene
from circuit_sparsity.ui.shell.pickers import Choice


def section(seen: StoredScene) -> None:
    """Buttons that each make a file at the click, of stored numbers and the reader's labels."""
    circuit = seen.circuit
    choice = Choice(circuit.model, circuit.task, circuit.sweep, circuit.k)
    labels = read_labels(Store.from_environment(), circuit).to_dict()
    link = str(st.context.url or "")

    def made(write: Write) -> str:
        return write(stored_document(seen.stored, seen.wiring, labels, link))

    with st.expander("Take it with you", icon=":material/download:"):
        with st.container(horizontal=True):
            for label, ending, mime, write in FOR_OTHERS:
                st.download_button(
                    label,
                    lambda write=write: made(write),
                    name_of(choice, ending),
                    mime,
                    key=f"take_stored_{ending}",
                    icon=":material/download:",
                    on_click="ignore",
                )
        st.caption(
            "Stored numbers, in nats per sequence, and your labels. The circuit as a program and "
            "as a page of its own need the model here."
        )
