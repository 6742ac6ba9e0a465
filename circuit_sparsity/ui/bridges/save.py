"""What was measured over a bridge, as a file to take away."""

import json
from collections.abc import Mapping

import streamlit as st

from circuit_sparsity.bridges.pair import Pair
from circuit_sparsity.ui.shell.cached import LiveView


def as_json(what: str, pair: Pair, view: LiveView, measured: Mapping[str, object]) -> None:
    """A button that downloads ``measured`` with the names of both models and of the circuit."""
    about = {"sparse": pair.sparse_name, "dense": pair.dense_name, "circuit": view.circuit.title}
    st.download_button(
        "Save as JSON",
        json.dumps(about | dict(measured), indent=1),
        f"{what}_{pair.sparse_name}_{pair.dense_name}.json",
        "application/json",
        icon=":material/download:",
    )
